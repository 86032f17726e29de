//! Query strings and forms: parsed once, strictly. A name stands once, unless it ends with `[]`; what is too much, not
//! UTF-8 or carries control characters is refused whole.

/// Bytes of a form.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// Names and values of one form or query.
pub const FIELDS_MAX: usize = 400;

/// The names and values of a query string or a form.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

/// Not a form that a page of ours could have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFields;

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadFields> {
        if bytes.len() > FORM_BYTES_MAX {
            return Err(BadFields);
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            let allowed = |text: &str| {
                // The parser replaces what is not UTF-8, and no form of ours sends the replacement.
                text.chars().all(|c| c != '\u{fffd}' && (!c.is_control() || matches!(c, '\n' | '\r' | '\t')))
            };
            let repeated = !name.ends_with("[]") && fields.iter().any(|(other, _)| *other == name);
            if repeated || fields.len() == FIELDS_MAX || !allowed(&name) || !allowed(&value) {
                return Err(BadFields);
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    /// The value of a name, without spaces around it; empty when it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The value as it was typed: passwords keep their spaces.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// Whether a box was ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// All values of a name that ends with `[]`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_trimmed_but_passwords_are_not() {
        let fields = Fields::parse("q=+a%26b+&password=+x+&ids[]=1&ids%5B%5D=2&on=".as_bytes()).unwrap();
        assert_eq!(fields.text("q"), "a&b");
        assert_eq!(fields.raw("password"), " x ");
        assert_eq!(fields.all("ids[]").collect::<Vec<_>>(), ["1", "2"]);
        assert!(fields.has("on") && !fields.has("off"));
        assert_eq!(fields.text("off"), "");
    }

    #[test]
    fn pollution_and_bytes_that_no_form_sends_are_refused() {
        for bad in ["amount=1&amount=100", "a=%00", "a=%1b[31m", "a=%ff", "%0a%00=1"] {
            assert_eq!(Fields::parse(bad.as_bytes()).err(), Some(BadFields), "{bad}");
        }
        assert!(Fields::parse("a&".repeat(2).as_bytes()).is_err());
        let many: String = (0..=FIELDS_MAX).map(|i| format!("a{i}=&")).collect();
        assert!(Fields::parse(many.as_bytes()).is_err());
        assert!(Fields::parse(&vec![b'a'; FORM_BYTES_MAX + 1]).is_err());
    }
}
