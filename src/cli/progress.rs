//! Long work shows how far it is: a bar on a terminal, a line every tenth elsewhere. Both on the standard error stream.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// How far one piece of work is.
pub struct Progress(Kind);

enum Kind {
    Bar(ProgressBar),
    Lines {
        label: String,
        /// Tenths that were told already.
        told: u64,
    },
    /// Somebody else shows it.
    Quiet,
}

impl Progress {
    /// `label` names the work in a word or two.
    pub fn new(label: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(Kind::Lines { label: label.to_owned(), told: 0 });
        }
        let style = ProgressStyle::with_template("{msg:16} {bar:32} {percent:>3} %  {human_pos} of {human_len}, {eta}")
            .expect("the template is constant");
        Self(Kind::Bar(ProgressBar::new(0).with_style(style).with_message(label.to_owned())))
    }

    pub fn quiet() -> Self {
        Self(Kind::Quiet)
    }

    /// So much of so much is done. May be called often.
    pub fn at(&mut self, done: u64, total: u64) {
        match &mut self.0 {
            Kind::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Kind::Lines { label, told } => {
                if let Some(line) = line(label, told, done, total) {
                    eprintln!("{line}");
                }
            }
            Kind::Quiet => {}
        }
    }

    /// Takes the bar away, so that the result stands alone.
    pub fn finish(self) {
        match self.0 {
            Kind::Bar(bar) => bar.finish_and_clear(),
            Kind::Lines { .. } | Kind::Quiet => {}
        }
    }
}

/// The line to print when another tenth is full.
fn line(label: &str, told: &mut u64, done: u64, total: u64) -> Option<String> {
    let tenths = done.saturating_mul(10).checked_div(total)?;
    if tenths <= *told {
        return None;
    }
    *told = tenths;
    Some(format!("{label}: {} % ({done} of {total})", tenths * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_for_each_tenth_and_never_twice() {
        let mut told = 0;
        let lines: Vec<_> = (0..=40).filter_map(|done| line("copy", &mut told, done, 40)).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "copy: 10 % (4 of 40)");
        assert_eq!(lines[9], "copy: 100 % (40 of 40)");
        assert_eq!(line("copy", &mut 0, 0, 0), None);
    }
}
