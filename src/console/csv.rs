//! Tables for spreadsheets: RFC 4180 in UTF-8 with a byte order mark, so that Excel reads Chinese; cells that a spreadsheet
//! would run as a formula are made text.

/// What tells Excel that the file is UTF-8.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Rows being written.
#[derive(Default)]
pub struct Csv {
    text: String,
    begun: bool,
}

impl Csv {
    /// A cell that somebody else may have written.
    pub fn text(&mut self, cell: &str) -> &mut Self {
        // Source: OWASP, CSV injection. Full-width forms run as well in some spreadsheets.
        let runs = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
        let defused = cell.starts_with(runs) || cell.trim_start().starts_with(runs);
        self.cell(if defused { "'" } else { "" }, cell)
    }

    /// A number, time or word of ours.
    pub fn own(&mut self, cell: impl std::fmt::Display) -> &mut Self {
        self.cell("", &cell.to_string())
    }

    pub fn end(&mut self) {
        self.text.push_str("\r\n");
        self.begun = false;
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn cell(&mut self, before: &str, cell: &str) -> &mut Self {
        if self.begun {
            self.text.push(',');
        }
        self.begun = true;
        self.text.push('"');
        self.text.push_str(before);
        for c in cell.chars() {
            if c == '"' {
                self.text.push('"');
            }
            self.text.push(c);
        }
        self.text.push('"');
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_text() {
        let mut csv = Csv::default();
        csv.own("12.30").text("a \"mug\", red\nor blue").own(-5).end();
        assert_eq!(csv.take(), "\"12.30\",\"a \"\"mug\"\", red\nor blue\",\"-5\"\r\n");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "\n@x"] {
            csv.text(formula).end();
            assert!(csv.take().starts_with("\"'"), "{formula:?}");
        }
        for plain in ["2026-1", "a=b", "", "杯子"] {
            csv.text(plain).end();
            assert_eq!(csv.take(), format!("\"{plain}\"\r\n"));
        }
    }
}
