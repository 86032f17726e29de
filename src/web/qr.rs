//! QR codes as SVG, always dark on white with their quiet zone, because phones read nothing else reliably.

use std::fmt::{self, Write};

use qrcode::{Color, EcLevel};

use super::page::escaped;

/// The longest text drawn, in bytes. Channels' codes have 30 to 300.
pub const QR_DATA_MAX: usize = 800;

/// Modules of white around a code. Source: ISO/IEC 18004, quiet zone of four modules.
const QUIET_ZONE: usize = 4;

/// Pixels of one module's side in a picture: sharp at the size that pages show.
const PNG_PIXELS_PER_MODULE: usize = 8;

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    let bytes = u32::try_from(content.len()).expect("pictures of codes are small");
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(content);
    png.extend(bytes.to_be_bytes());
    png.extend(kind);
    png.extend(content);
    png.extend(sum.sum().to_be_bytes());
}

/// A drawn code; prints itself as an `<svg>` that the page's style sizes.
pub struct QrCode {
    /// One path with a rectangle for each run of dark modules.
    path: String,
    /// The same row by row, without the quiet zone.
    dark: Vec<bool>,
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
        let dark = modules.iter().map(|module| *module == Color::Dark).collect();
        Ok(QrCode { path, dark, side: width + 2 * QUIET_ZONE, label: label.to_owned() })
    }

    /// The code as a picture, black on white. Source: PNG specification (W3C), one bit of grey for each pixel.
    pub fn to_png(&self) -> Vec<u8> {
        let width = self.side - 2 * QUIET_ZONE;
        let is_dark = |x: usize, y: usize| {
            let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < width);
            inside(x).zip(inside(y)).is_some_and(|(x, y)| self.dark[y * width + x])
        };
        let pixels = self.side * PNG_PIXELS_PER_MODULE;
        let mut rows = Vec::new();
        for y in 0..self.side {
            // A row begins with its filter, which is none.
            let mut row = vec![0u8; 1 + pixels.div_ceil(8)];
            for x in (0..pixels).filter(|x| !is_dark(x / PNG_PIXELS_PER_MODULE, y)) {
                row[1 + x / 8] |= 0x80 >> (x % 8);
            }
            for _ in 0..PNG_PIXELS_PER_MODULE {
                rows.extend_from_slice(&row);
            }
        }
        let side = u32::try_from(pixels).expect("a code has some hundred modules").to_be_bytes();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let packed = std::io::Write::write_all(&mut packer, &rows).and_then(|()| packer.finish());
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        // Bits for each pixel, then grey, and the only compression, filter and order there are.
        chunk(&mut png, b"IHDR", &[&side[..], &side, &[1, 0, 0, 0, 0]].concat());
        chunk(&mut png, b"IDAT", &packed.expect("writing into memory does not fail"));
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

impl fmt::Display for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QrCode { path, side, label, dark: _ } = self;
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
    fn a_picture_shows_the_same_code() {
        use std::io::Read;
        let code = QrCode::draw("weixin://wxpay/bizpayurl?pr=abcdefg", "").unwrap();
        let png = code.to_png();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let side = u32::from_be_bytes(png[16..20].try_into().unwrap());
        assert_eq!(side, 37 * 8);
        let bytes = u32::from_be_bytes(png[33..37].try_into().unwrap()) as usize;
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&png[41..41 + bytes]).read_to_end(&mut rows).unwrap();
        let row = 1 + 37;
        let dark = |x: usize, y: usize| rows[y * 8 * row + 1 + x] == 0;
        // A corner of a finder pattern with its quiet zone, and the ring inside.
        assert!(!dark(3, 3) && dark(4, 4) && dark(10, 4) && !dark(11, 4) && !dark(5, 5) && dark(6, 6));
        assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
    }

    #[test]
    fn what_a_phone_cannot_read_is_refused() {
        assert!(QrCode::draw(&"x".repeat(QR_DATA_MAX), "").is_ok());
        assert_eq!(QrCode::draw(&"x".repeat(QR_DATA_MAX + 1), "").err(), Some(QrTooLong));
    }
}
