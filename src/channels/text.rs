//! Small readings that adapters share: headers that must come once, and foreign text that goes into our sentences.

/// The one value of a header, `None` when it is absent, empty or doubled: a second one is somebody's attempt to have us
/// read another than the one that was signed. Names in `headers` are lower case.
pub fn single<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// Foreign text in our sentences: no control characters, and not much of it.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// One part of a path or of a query, with everything but letters, digits and `-._~` percent-encoded.
pub fn encoded(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
