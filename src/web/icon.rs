//! Line icons of our own on a grid of 20, drawn with the text's colour. Printed in a template: `{{ crate::web::Icon::Search }}`.

use std::fmt;

/// A picture that always stands beside a word or inside a button with a label, so it is hidden from screen readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// The mark of Coffer: a chest with a square lock, as old coins have.
    Coffer,
    Home,
    Payments,
    Refunds,
    Callbacks,
    Ledger,
    Developers,
    Settings,
    More,
    Search,
    Down,
    Right,
    Left,
    Check,
    Cross,
    Copy,
    Sun,
    Moon,
    Globe,
    Leave,
    Shop,
    Alert,
    Info,
    Clock,
    Key,
    Plus,
    Filter,
    Download,
    Refresh,
    External,
    Lock,
    Phone,
    Scan,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Icon::Coffer => {
                "M3 8.5A4.5 4.5 0 0 1 7.5 4h5A4.5 4.5 0 0 1 17 8.5V15a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 15zM3 9.5h4.8M12.2 9.5H17M8 8h4v4H8z"
            }
            Icon::Home => "M3.5 8.8 10 3.5l6.5 5.3V15.5a1 1 0 0 1-1 1H12V12H8v4.5H4.5a1 1 0 0 1-1-1z",
            Icon::Payments => {
                "M3 6.5A1.5 1.5 0 0 1 4.5 5h11A1.5 1.5 0 0 1 17 6.5v7a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 13.5zM3 8.5h14M6 12h3"
            }
            Icon::Refunds => "M7 4.5 3.5 8 7 11.5M3.5 8H12a4 4 0 0 1 0 8H8",
            Icon::Callbacks => "M3 10.5 16.5 4l-3.5 12-3.5-4.5zM9.5 11.5l7-7.5",
            Icon::Ledger => {
                "M5.5 3.5H15a.5.5 0 0 1 .5.5v12.5H6A1.5 1.5 0 0 1 4.5 15V4.5a1 1 0 0 1 1-1zM4.5 14.8A1.5 1.5 0 0 1 6 13.5h9.5M8 7h4.5M8 10h4.5"
            }
            Icon::Developers => "M7 6.5 3.5 10 7 13.5M13 6.5l3.5 3.5-3.5 3.5M11.3 4.5 8.7 15.5",
            Icon::Settings => {
                "M3 6h7.5M14.5 6H17M3 14h2.5M9.5 14H17M12.5 4a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM7.5 12a2 2 0 1 0 0 4 2 2 0 0 0 0-4z"
            }
            Icon::More => "M4.5 10h.01M10 10h.01M15.5 10h.01",
            Icon::Search => "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM13 13l4 4",
            Icon::Down => "m5.5 7.5 4.5 5 4.5-5",
            Icon::Right => "m7.5 5 5 5-5 5",
            Icon::Left => "m12.5 5-5 5 5 5",
            Icon::Check => "m4 10.5 4 4 8-9",
            Icon::Cross => "M5 5l10 10M15 5 5 15",
            Icon::Copy => "M7.5 7.5h9v9h-9zM4.5 12.5h-1v-9h9v1",
            Icon::Sun => {
                "M10 6.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4zM10 2.5v1M10 16.5v1M2.5 10h1M16.5 10h1M4.7 4.7l.7.7M14.6 14.6l.7.7M15.3 4.7l-.7.7M5.4 14.6l-.7.7"
            }
            Icon::Moon => "M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z",
            Icon::Globe => {
                "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM3 10h14M10 3c2.2 2 3.2 4.3 3.2 7S12.2 15 10 17c-2.2-2-3.2-4.3-3.2-7S7.8 5 10 3z"
            }
            Icon::Leave => "M8 4H4.5a1 1 0 0 0-1 1v10a1 1 0 0 0 1 1H8M12.5 6.5 16 10l-3.5 3.5M16 10H8",
            Icon::Shop => {
                "M4 9v7.5h12V9M3 8l1.5-4.5h11L17 8a2.3 2.3 0 0 1-4.6 0 2.3 2.3 0 0 1-4.8 0A2.3 2.3 0 0 1 3 8zM8 16.5V12h4v4.5"
            }
            Icon::Alert => "M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.3h.01",
            Icon::Info => "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 9.3v4M10 6.7h.01",
            Icon::Clock => "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 6.5V10l2.5 2",
            Icon::Key => "M7 9a4 4 0 1 0 0 .02zM9.8 8.5 16.5 15.2M14 12.7l1.8-1.8M7 6.5",
            Icon::Plus => "M10 4v12M4 10h12",
            Icon::Filter => "M3.5 5.5h13M6 10h8M8.5 14.5h3",
            Icon::Download => "M10 3.5v9M6.5 9.5 10 13l3.5-3.5M4 16.5h12",
            Icon::Refresh => "M16 8.5A6.3 6.3 0 0 0 4.6 7M4 3.8V7.2h3.4M4 11.5A6.3 6.3 0 0 0 15.4 13M16 16.2v-3.4h-3.4",
            Icon::External => "M11.5 4H16v4.5M16 4l-7 7M8 5H4.5v10.5H15V12",
            Icon::Lock => "M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9M10 12v1.5",
            Icon::Phone => "M6.5 2.5h7a1 1 0 0 1 1 1v13a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1zM9 15h2",
            Icon::Scan => {
                "M3.5 7V4.5a1 1 0 0 1 1-1H7M13 3.5h2.5a1 1 0 0 1 1 1V7M16.5 13v2.5a1 1 0 0 1-1 1H13M7 16.5H4.5a1 1 0 0 1-1-1V13M3.5 10h13"
            }
        }
    }
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<svg class="i" viewBox="0 0 20 20" aria-hidden="true"><path d="{}"/></svg>"#, self.path())
    }
}

impl askama::filters::HtmlSafe for Icon {}
