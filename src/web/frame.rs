//! What surrounds every console page: the rooms, the merchant, the mode, the person.

use std::borrow::Borrow;

use super::{Icon, Lang};
use crate::domain::ids::Mode;

/// The rooms of the console, in the order of the rail. A room is added here when its page exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Home,
    Payments,
    Refunds,
    Callbacks,
    Attention,
    Ledger,
    Developers,
    Settings,
}

impl Room {
    pub const ALL: [Room; 8] = [
        Room::Home,
        Room::Payments,
        Room::Refunds,
        Room::Callbacks,
        Room::Attention,
        Room::Ledger,
        Room::Developers,
        Room::Settings,
    ];

    /// Those that stand in a phone's bottom bar; the others are behind "more".
    pub const BAR: [Room; 4] = [Room::Home, Room::Payments, Room::Refunds, Room::Callbacks];

    pub fn in_bar(self) -> bool {
        Room::BAR.contains(&self)
    }

    pub const fn path(self) -> &'static str {
        match self {
            Room::Home => "/console",
            Room::Payments => "/console/payments",
            Room::Refunds => "/console/refunds",
            Room::Callbacks => "/console/callbacks",
            Room::Attention => "/console/attention",
            Room::Ledger => "/console/ledger",
            Room::Developers => "/console/developers",
            Room::Settings => "/console/settings",
        }
    }

    pub fn name(self, lang: impl Borrow<Lang>) -> &'static str {
        let lang = *lang.borrow();
        match self {
            Room::Home => lang.t("首页", "Home"),
            Room::Payments => lang.t("收款", "Payments"),
            Room::Refunds => lang.t("退款", "Refunds"),
            Room::Callbacks => lang.t("回调", "Callbacks"),
            Room::Attention => lang.t("待处理", "To do"),
            Room::Ledger => lang.t("账本", "Ledger"),
            Room::Developers => lang.t("开发", "Developers"),
            Room::Settings => lang.t("设置", "Settings"),
        }
    }

    pub const fn icon(self) -> Icon {
        match self {
            Room::Home => Icon::Home,
            Room::Payments => Icon::Payments,
            Room::Refunds => Icon::Refunds,
            Room::Callbacks => Icon::Callbacks,
            Room::Attention => Icon::Alert,
            Room::Ledger => Icon::Ledger,
            Room::Developers => Icon::Developers,
            Room::Settings => Icon::Settings,
        }
    }

    /// A thin line stands above these: daily work, then books, then set-up.
    pub const fn begins_group(self) -> bool {
        match self {
            Room::Ledger | Room::Developers => true,
            Room::Home | Room::Payments | Room::Refunds | Room::Callbacks | Room::Attention | Room::Settings => false,
        }
    }
}

/// One merchant the person may look at.
#[derive(Clone, Debug)]
pub struct MerchantChoice {
    /// The value that the switch sends.
    pub id: String,
    pub name: String,
    pub current: bool,
}

/// What is counted beside a room's name, at most.
pub const COUNT_MAX: usize = 99;

/// What needs attention, counted up to one above [`COUNT_MAX`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub failing_endpoints: usize,
    /// Differences, requests and refunds that wait for a person.
    pub to_do: usize,
}

/// Filled by the console for each page; the template is `console/frame.html`.
#[derive(Clone, Debug)]
pub struct Frame {
    pub room: Room,
    pub mode: Mode,
    /// Those that the person's role may enter, in the order of the rail.
    pub rooms: Vec<Room>,
    /// All merchants that the person may see; the switch appears with the second.
    pub merchants: Vec<MerchantChoice>,
    pub user_name: String,
    pub role_name: String,
    /// Goes into every form.
    pub csrf: String,
    pub counts: Counts,
    /// What stands in the search field.
    pub search: String,
}

impl Frame {
    /// By value, as templates loop over them.
    pub fn rooms(&self) -> Vec<Room> {
        self.rooms.clone()
    }

    pub fn is_test(&self) -> bool {
        self.mode == Mode::Test
    }

    pub fn merchant_name(&self) -> &str {
        self.merchants.iter().find(|merchant| merchant.current).map_or("", |merchant| &merchant.name)
    }

    /// First character of the person's name, for the round mark.
    pub fn initial(&self) -> String {
        self.user_name.chars().next().map_or_else(|| "·".to_owned(), |c| c.to_uppercase().collect())
    }

    /// How much needs attention in a room, as it is shown; nothing when there is nothing.
    pub fn count(&self, room: impl Borrow<Room>) -> Option<String> {
        let count = match room.borrow() {
            Room::Callbacks => self.counts.failing_endpoints,
            Room::Attention => self.counts.to_do,
            Room::Home | Room::Payments | Room::Refunds | Room::Ledger | Room::Developers | Room::Settings => 0,
        };
        match count {
            0 => None,
            1..=COUNT_MAX => Some(count.to_string()),
            _ => Some(format!("{COUNT_MAX}+")),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use askama::Template;

    use super::super::Page;
    use super::*;
    use crate::domain::time::Timestamp;

    #[derive(Template)]
    #[template(source = "{% extends \"console/frame.html\" %}{% block main %}here{% endblock %}", ext = "html")]
    struct Sample {
        page: Page,
        frame: Frame,
    }

    fn render(mode: Mode, merchants: usize) -> String {
        let page = Page::read(&TestRequest::with_uri("/console/ledger?lang=en").to_http_request(), Timestamp::MIN);
        let merchant = |i| MerchantChoice { id: format!("m{i}"), name: format!("<Shop {i}>"), current: i == 0 };
        let frame = Frame {
            room: Room::Ledger,
            mode,
            rooms: Room::ALL.to_vec(),
            merchants: (0..merchants).map(merchant).collect(),
            user_name: "ada".into(),
            role_name: "Owner".into(),
            csrf: "token".into(),
            counts: Counts { failing_endpoints: 7, to_do: 100 },
            search: String::new(),
        };
        Sample { page, frame }.render().unwrap()
    }

    #[test]
    fn the_frame_says_where_one_is_and_whether_money_is_real() {
        let test = render(Mode::Test, 1);
        assert!(test.contains(r#"<a href="/console/ledger" aria-current="page">"#));
        assert!(test.contains("no real money here") && test.contains(r#"<span class="count">7</span>"#));
        assert!(test.contains(r#"<span class="count">99+</span>"#));
        assert!(!render(Mode::Live, 1).contains("no real money here"));
    }

    #[test]
    fn the_switch_appears_with_the_second_merchant_and_names_are_escaped() {
        assert!(!render(Mode::Live, 1).contains("Switch merchant"));
        let two = render(Mode::Live, 2);
        assert!(two.contains("Switch merchant") && two.contains("&#60;Shop 1&#62;") && !two.contains("<Shop"));
    }

    /// The content security policy allows neither, so such a page would be broken as well as unsafe.
    #[test]
    fn nothing_is_inline() {
        let html = render(Mode::Test, 2);
        assert!(
            !html.contains("style=")
                && !html.contains("<style")
                && !html.contains("<script>")
                && !html.contains("onclick")
        );
    }
}
