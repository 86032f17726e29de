//! Log lines on the standard error stream: text for people or JSON for machines, one event one line.
//!
//! Values can come from strangers. In text, control characters are written as escapes, so that nobody can forge a line or
//! colour a terminal; JSON escapes them by itself. Secrets cannot be logged because their types print nothing.

use std::fmt;
use std::str::FromStr;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which events are written: a level for all, and levels by part of the program, as in `info,coffer::store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

/// Words for a level, quietest first.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

impl LogLevel {
    /// Accepts only the words of [`LEVELS`]: a mistyped level would otherwise be taken for the name of a part.
    pub fn parse(text: &str) -> Option<Self> {
        let directive = |part: &str| match part.split_once('=') {
            Some((target, level)) => !target.is_empty() && LEVELS.contains(&level),
            None => LEVELS.contains(&part),
        };
        text.split(',').all(directive).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn targets(&self) -> Targets {
        self.0.split(',').fold(Targets::new(), |targets, part| {
            let level = |text| LevelFilter::from_str(text).expect("parsing accepted only words for levels");
            match part.split_once('=') {
                Some((target, text)) => targets.with_target(target, level(text)),
                None => targets.with_default(level(part)),
            }
        })
    }
}

/// Makes this process log, panics included. Called once, by the command that serves.
pub fn install(format: LogFormat, level: &LogLevel) {
    let subscriber = subscriber(format, level, std::io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::warn!("logging was set up twice; the first set-up stays");
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let text =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let what = text.unwrap_or("no message");
        tracing::error!(at, what, "a bug: part of the program panicked");
    }));
}

fn subscriber<W>(format: LogFormat, level: &LogLevel, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(level.targets());
    match format {
        LogFormat::Text => {
            let lines = OneLine(tracing_subscriber::fmt::format().with_ansi(false));
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).event_format(lines);
            Box::new(registry.with(layer))
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true);
            Box::new(registry.with(layer.with_span_list(false).with_writer(writer)))
        }
    }
}

/// Writes what the usual format would, on one line and without control characters.
struct OneLine(Format<Full>);

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        for c in line.trim_end_matches('\n').chars() {
            match c {
                // Line and paragraph separators end a line for some viewers.
                '\u{2028}' | '\u{2029}' => write!(to, "{}", c.escape_unicode())?,
                c if c.is_control() => write!(to, "{}", c.escape_default())?,
                c => to.write_char(c)?,
            }
        }
        to.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::crypto::Secret;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(format, &LogLevel::parse(level).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const FORGERY: &str = "x\n2026-11-23T00:00:00Z  INFO paid\r\u{1b}[31mred\u{9b}31m\u{2028}";

    #[test]
    fn a_stranger_cannot_forge_a_line_or_colour_the_terminal() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", || tracing::info!(order = FORGERY, "got {FORGERY}"));
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\u{1b}') && !text.trim_end().contains('\n') && !text.contains('\r'), "{text:?}");
        }
        let text = logged(LogFormat::Text, "info", || tracing::info!(order = FORGERY, "got {FORGERY}"));
        assert!(!text.contains('\u{9b}') && !text.contains('\u{2028}'), "{text:?}");
    }

    #[test]
    fn secrets_do_not_appear() {
        let secret = Secret::new("sk_canary");
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "trace", || tracing::info!(?secret, "made {secret:?}"));
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn lines_carry_the_request_they_belong_to() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", || {
                let span = tracing::info_span!("request", id = "req_1");
                span.in_scope(|| tracing::warn!("slow"));
            });
            assert!(text.contains("req_1"), "{text}");
        }
    }

    #[test]
    fn json_lines_are_objects() {
        let text = logged(LogFormat::Json, "info", || tracing::info!(paid = 3, "done"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["paid"], &line["level"]), (&"done".into(), &3.into(), &"INFO".into()));
    }

    #[test]
    fn levels_hold_for_all_and_for_parts() {
        let log = || {
            tracing::debug!(target: "coffer::store", "from the store");
            tracing::debug!(target: "coffer::api", "from the api");
        };
        let text = logged(LogFormat::Text, "info,coffer::store=debug", log);
        assert!(text.contains("from the store") && !text.contains("from the api"), "{text}");
        for bad in ["", "inof", "info,", "=debug", "coffer=loud", "INFO"] {
            assert_eq!(LogLevel::parse(bad), None, "{bad:?}");
        }
    }
}
