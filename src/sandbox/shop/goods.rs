//! What the shop sells, with pictures drawn for it.

use crate::domain::money::{Currency, Money};
use crate::lang::Text;

/// One thing for sale.
#[derive(Debug)]
pub struct Item {
    /// In addresses and in stored orders; never renamed.
    pub slug: &'static str,
    pub name: Text,
    pub note: Text,
    price_minor: u64,
    /// An `<svg>` of our own.
    pub picture: &'static str,
}

impl Item {
    pub fn find(slug: &str) -> Option<&'static Item> {
        GOODS.iter().find(|item| item.slug == slug)
    }

    pub const fn price(&self) -> Money {
        Money::new(self.price_minor, Currency::CNY)
    }
}

/// A mug in one colour with a lighter rim and something painted on it.
macro_rules! mug {
    ($body:literal, $rim:literal, $painted:expr) => {
        concat!(
            r##"<svg class="art" viewBox="0 0 200 200" aria-hidden="true"><ellipse cx="100" cy="170" rx="62" ry="9" opacity=".09"/>"##,
            r##"<path d="M138 82h12a20 20 0 0 1 20 20v4a26 26 0 0 1-26 26h-10" fill="none" stroke=""##,
            $body,
            r##"" stroke-width="12" stroke-linecap="round"/><path d="M46 58h96v74a32 32 0 0 1-32 32H78a32 32 0 0 1-32-32z" fill=""##,
            $body,
            r##""/>"##,
            $painted,
            r##"<path d="M142 58v74a32 32 0 0 1-32 32h-8a32 32 0 0 0 28-32V64z" opacity=".08"/>"##,
            r##"<ellipse cx="94" cy="58" rx="48" ry="10" fill=""##,
            $rim,
            r##""/><ellipse cx="94" cy="59" rx="41" ry="7" fill="#5b3a26"/><path d="M57 78v50a22 22 0 0 0 5 14" fill="none" stroke="#fff" stroke-width="6" stroke-linecap="round" opacity=".4"/>"##,
            r##"<path d="M80 40c-6-8 6-12 0-21M106 40c-6-8 6-12 0-21" fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" opacity=".2"/></svg>"##
        )
    };
}
/// In the order in which they are shown; the first one is shown large.
pub static GOODS: [Item; 6] = [
    Item {
        slug: "mist-mug",
        name: Text::new("雾蓝马克杯", "Mist-blue mug"),
        note: Text::new("高温瓷，350 毫升，握得住一整个早晨。", "Stoneware, 350 ml: holds a whole morning."),
        price_minor: 59_00,
        picture: mug!("#7d9db5", "#96b3c8", ""),
    },
    Item {
        slug: "plain-mug",
        name: Text::new("素白马克杯", "Plain white mug"),
        note: Text::new("不写字，不印花，什么茶都衬。", "No words, no prints; flatters every tea."),
        price_minor: 49_00,
        picture: mug!("#ddd3c1", "#f8f4ec", ""),
    },
    Item {
        slug: "hills-mug",
        name: Text::new("山峦马克杯", "Hills mug"),
        note: Text::new("手绘三层远山，每只都不同。", "Three ridges, painted by hand; no two alike."),
        price_minor: 69_00,
        picture: mug!(
            "#e3d9c6",
            "#f0e9db",
            r##"<path d="M46 122l22-24 14 14 20-26 24 30 16-14v34q0 0-4 8a32 32 0 0 1-28 20h-32a32 32 0 0 1-32-32z" fill="#8fa58c"/><path d="M46 136l28-18 20 16 22-20 26 22v0a32 32 0 0 1-32 28h-32a32 32 0 0 1-32-28z" fill="#5f7d66"/><circle cx="116" cy="82" r="8" fill="#d98b5f"/>"##
        ),
    },
    Item {
        slug: "cat-mug",
        name: Text::new("猫咪马克杯", "Cat mug"),
        note: Text::new("两只耳朵，一张不太想理你的脸。", "Two ears and a face that would rather not."),
        price_minor: 79_00,
        picture: mug!(
            "#d7a27a",
            "#e6bd9b",
            r##"<path d="M52 60l6-22 18 15zM136 60l-6-22-18 15z" fill="#d7a27a"/><path d="M57 56l3-11 9 8zM131 56l-3-11-9 8z" fill="#8a5638"/><circle cx="76" cy="100" r="5" fill="#3b2a20"/><circle cx="112" cy="100" r="5" fill="#3b2a20"/><path d="M90 110h8l-4 5zM94 115v5M94 120q-7 8-13 1M94 120q7 8 13 1" fill="#3b2a20" stroke="#3b2a20" stroke-width="2" stroke-linecap="round"/><path d="M62 110h-18M63 117l-17 5M126 110h18M125 117l17 5" stroke="#3b2a20" stroke-width="1.6" stroke-linecap="round" opacity=".55"/>"##
        ),
    },
    Item {
        slug: "coasters",
        name: Text::new("杯垫四只装", "Four coasters"),
        note: Text::new("软木与呢料，桌子会谢谢你。", "Cork and felt. The table says thanks."),
        price_minor: 29_00,
        picture: r##"<svg class="art" viewBox="0 0 200 200" aria-hidden="true"><ellipse cx="100" cy="160" rx="74" ry="12" opacity=".09"/><g><path d="M34 138v8a66 20 0 0 0 132 0v-8z" fill="#8a5f3c"/><ellipse cx="100" cy="138" rx="66" ry="20" fill="#b98a5e"/></g><g><path d="M30 118v8a66 20 0 0 0 132 0v-8z" fill="#4d6b58"/><ellipse cx="96" cy="118" rx="66" ry="20" fill="#6f927b"/></g><g><path d="M38 98v8a66 20 0 0 0 132 0v-8z" fill="#8f4d3d"/><ellipse cx="104" cy="98" rx="66" ry="20" fill="#c07059"/></g><g><path d="M33 78v8a66 20 0 0 0 132 0v-8z" fill="#48637a"/><ellipse cx="99" cy="78" rx="66" ry="20" fill="#7d9db5"/><ellipse cx="99" cy="78" rx="48" ry="14" fill="none" stroke="#fff" stroke-width="2.5" stroke-dasharray="5 6" opacity=".65"/></g></svg>"##,
    },
    Item {
        slug: "glass",
        name: Text::new("双层玻璃杯", "Double-walled glass"),
        note: Text::new("热的不烫手，凉的不出汗。", "Hot without burning, cold without sweating."),
        price_minor: 89_00,
        picture: r##"<svg class="art" viewBox="0 0 200 200" aria-hidden="true"><ellipse cx="100" cy="170" rx="46" ry="8" opacity=".09"/><path d="M56 46h88l-9 104a18 18 0 0 1-18 16H83a18 18 0 0 1-18-16z" fill="#9fc4cf" opacity=".3"/><path d="M68 72h64l-7 66a15 15 0 0 1-15 13H90a15 15 0 0 1-15-13z" fill="#8a5a3b"/><path d="M68 72h64l-2 18H70z" fill="#e9dcc7"/><ellipse cx="100" cy="72" rx="32" ry="6" fill="#f5ecdd"/><path d="M56 46h88l-9 104a18 18 0 0 1-18 16H83a18 18 0 0 1-18-16z" fill="none" stroke="#6f9fae" stroke-width="3" stroke-linejoin="round"/><ellipse cx="100" cy="46" rx="44" ry="8" fill="none" stroke="#6f9fae" stroke-width="3"/><path d="M70 62l6 78" stroke="#fff" stroke-width="4" stroke-linecap="round" opacity=".6"/></svg>"##,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_found_by_its_slug_and_drawn_without_help_from_elsewhere() {
        for item in &GOODS {
            assert!(std::ptr::eq(Item::find(item.slug).unwrap(), item));
            let picture = item.picture;
            assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>"), "{}", item.slug);
            for foreign in ["http", "style=", "<script", "url("] {
                assert!(!picture.contains(foreign), "{}: {foreign}", item.slug);
            }
        }
    }
}
