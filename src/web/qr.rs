//! QR codes as SVG, always dark on white with their quiet zone, because phones read nothing else reliably.

use std::fmt::{self, Write};

use qrcode::{Color, EcLevel};

use super::page::escaped;

/// The longest text drawn, in bytes. Channels' codes have 30 to 300.
pub const QR_DATA_MAX: usize = 800;

/// Modules of white around a code. Source: ISO/IEC 18004, quiet zone of four modules.
const QUIET_ZONE: usize = 4;

/// A drawn code; prints itself as an `<svg>` that the page's style sizes.
pub struct QrCode {
    /// One path with a rectangle for each run of dark modules.
    path: String,
    /// Modules of one side, the quiet zone included.
    side: usize,
    label: String,
}

/// The text does not fit into a code that a phone reads from a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrTooLong;

impl fmt::Display for QrTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a QR code holds at most {QR_DATA_MAX} bytes here")
    }
}

impl std::error::Error for QrTooLong {}

impl QrCode {
    /// Draws `data` with medium error correction. `label` is what a screen reader says.
    pub fn draw(data: &str, label: &str) -> Result<QrCode, QrTooLong> {
        if data.len() > QR_DATA_MAX {
            return Err(QrTooLong);
        }
        let code = qrcode::QrCode::with_error_correction_level(data, EcLevel::M).map_err(|_| QrTooLong)?;
        let width = code.width();
        let modules = code.to_colors();
        let mut path = String::new();
        for (y, row) in modules.chunks(width).enumerate() {
            let mut x = 0;
            while x < width {
                let run = row[x..].iter().take_while(|module| **module == Color::Dark).count();
                if run > 0 {
                    write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET_ZONE, y + QUIET_ZONE)
                        .expect("a string takes everything");
                }
                x += run.max(1);
            }
        }
        Ok(QrCode { path, side: width + 2 * QUIET_ZONE, label: label.to_owned() })
    }
}

impl fmt::Display for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QrCode { path, side, label } = self;
        let label = escaped(label);
        write!(f, r#"<svg class="qr" viewBox="0 0 {side} {side}" role="img" aria-label="{label}" "#)?;
        write!(f, r##"shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/>"##)?;
        write!(f, r##"<path fill="#000" d="{path}"/></svg>"##)
    }
}

impl askama::filters::HtmlSafe for QrCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone_and_its_finder_patterns() {
        let code = QrCode::draw("weixin://wxpay/bizpayurl?pr=abcdefg", "code \"x\"").unwrap();
        assert_eq!(code.side, 29 + 8, "35 bytes at level M need version 3");
        // The corners of the three finder patterns start with a run of seven.
        assert!(code.path.starts_with("M4 4h7v1h-7z"));
        assert!(code.path.contains("M26 4h7v1h-7z") && code.path.contains("M4 26h7v1h-7z"));
        assert!(code.to_string().contains("aria-label=\"code &#34;x&#34;\""));
    }

    #[test]
    fn what_a_phone_cannot_read_is_refused() {
        assert!(QrCode::draw(&"x".repeat(QR_DATA_MAX), "").is_ok());
        assert_eq!(QrCode::draw(&"x".repeat(QR_DATA_MAX + 1), "").err(), Some(QrTooLong));
    }
}
