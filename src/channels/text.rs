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
    shortened_to(text, 64)
}

/// The same with another limit, for what is a whole sentence.
pub fn shortened_to(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}

/// Each part with a line feed behind it, the last one too: what several providers sign. Only the last, the body, may itself
/// contain line feeds.
pub fn lines(parts: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        text.extend_from_slice(part);
        text.push(b'\n');
    }
    text
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
