//! What surrounds every console page: the rooms, the merchant, the mode, the person.

use super::{Icon, Lang};
use crate::domain::ids::Mode;

/// The rooms of the console, in the order of the rail. A room is added here when its page exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Home,
    Payments,
    Refunds,
    Callbacks,
    Ledger,
    Developers,
    Settings,
}

impl Room {
    pub const ALL: [Room; 7] =
        [Room::Home, Room::Payments, Room::Refunds, Room::Callbacks, Room::Ledger, Room::Developers, Room::Settings];

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
            Room::Ledger => "/console/ledger",
            Room::Developers => "/console/developers",
            Room::Settings => "/console/settings",
        }
    }

    pub const fn name(self, lang: Lang) -> &'static str {
        match self {
            Room::Home => lang.t("首页", "Home"),
            Room::Payments => lang.t("收款", "Payments"),
            Room::Refunds => lang.t("退款", "Refunds"),
            Room::Callbacks => lang.t("回调", "Callbacks"),
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
            Room::Ledger => Icon::Ledger,
            Room::Developers => Icon::Developers,
            Room::Settings => Icon::Settings,
        }
    }

    /// A thin line stands above these: daily work, then books, then set-up.
    pub const fn begins_group(self) -> bool {
        match self {
            Room::Ledger | Room::Developers => true,
            Room::Home | Room::Payments | Room::Refunds | Room::Callbacks | Room::Settings => false,
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

/// Filled by the console for each page; the template is `console/frame.html`.
#[derive(Clone, Debug)]
pub struct Frame {
    pub room: Room,
    pub mode: Mode,
    /// All that the person may see; the switch appears with the second.
    pub merchants: Vec<MerchantChoice>,
    pub user_name: String,
    pub role_name: String,
    /// Goes into every form.
    pub csrf: String,
    /// Shown beside Callbacks when not zero.
    pub failing_callbacks: u64,
    /// What stands in the search field.
    pub search: String,
}

impl Frame {
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

    /// What needs attention in a room; nothing when zero.
    pub fn count(&self, room: Room) -> u64 {
        match room {
            Room::Callbacks => self.failing_callbacks,
            Room::Home | Room::Payments | Room::Refunds | Room::Ledger | Room::Developers | Room::Settings => 0,
        }
    }
}
