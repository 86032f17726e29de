//! A message as text, so that corpus files can be read: a first line, headers, an empty line, a body.

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub first: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn parse(data: &[u8]) -> Option<Message> {
        let (first, mut rest) = line(data)?;
        let mut headers = Vec::new();
        loop {
            let (text, after) = line(rest)?;
            rest = after;
            if text.is_empty() {
                return Some(Message { first: first.to_owned(), headers, body: rest.to_vec() });
            }
            let (name, value) = text.split_once(": ")?;
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        [format!("{}\n{headers}\n", self.first).as_bytes(), &self.body].concat()
    }
}

fn line(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}
