//! Charts drawn on the server: no script, values on hover, a table behind them for whoever cannot see them.
//!
//! The drawing stretches (`preserveAspectRatio="none"`); labels are HTML beside it, so that they keep their size on a phone.

use std::fmt;

use askama::filters::HtmlSafe;

use super::Lang;
use super::page::escaped;

/// One day, or any other step of equal length.
#[derive(Clone, Debug)]
pub struct Day {
    /// `11-23`.
    pub label: String,
    /// Decides the height, in any unit that all days share.
    pub value: u64,
    /// The value for people, such as `¥1,234.50 · 12 笔`.
    pub shown: String,
}

/// Bars over time, with the step before the last muted when it is not over yet.
pub struct DayChart {
    pub lang: Lang,
    /// Names the chart for a screen reader.
    pub title: String,
    /// Heads of the table: what a step is and what its value is.
    pub heads: [String; 2],
    pub days: Vec<Day>,
    /// The last day is still running, and is drawn lighter.
    pub last_is_open: bool,
    /// Writes a round value beside a grid line.
    pub axis: fn(u64) -> String,
}

/// The drawing's own units; it is stretched to the place it gets.
const STEP: u64 = 10;
const HEIGHT: u64 = 100;
/// Of a step's ten units, how many are bar.
const BAR: u64 = 7;

impl DayChart {
    /// The height of the drawing: a round number at or above the highest value, which halves well.
    fn top(&self) -> u64 {
        let highest = self.days.iter().map(|day| day.value).max().unwrap_or(0);
        round_up(highest)
    }
}

/// The smallest of 2, 4, 6, 8, 10 times a power of ten that is not below `value`.
fn round_up(value: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        for step in [2, 4, 6, 8, 10] {
            let candidate = unit.saturating_mul(step);
            if candidate >= value {
                return candidate;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

impl fmt::Display for DayChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let top = self.top();
        let width = STEP * self.days.len().max(1) as u64;
        let title = escaped(&self.title);
        f.write_str(r#"<figure class="chart"><div class="y" aria-hidden="true">"#)?;
        for value in [top, top / 2, 0] {
            write!(f, "<span>{}</span>", escaped(&(self.axis)(value)))?;
        }
        write!(
            f,
            r#"</div><svg class="plot" viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{title}">"#
        )?;
        write!(f, r#"<path class="grid" d="M0 0H{width}M0 {}H{width}"/>"#, HEIGHT / 2)?;
        for (i, day) in self.days.iter().enumerate() {
            let x = STEP * i as u64;
            let hundredths = u128::from(day.value) * u128::from(HEIGHT) * 100 / u128::from(top);
            // A day with any money shows, however small it is beside the best one.
            let hundredths = if day.value > 0 { hundredths.max(100) } else { 0 };
            let (height, rest) = (hundredths / 100, hundredths % 100);
            let from_top = u128::from(HEIGHT) * 100 - hundredths;
            let last = if self.last_is_open && i + 1 == self.days.len() { " last" } else { "" };
            write!(
                f,
                r#"<g class="day"><title>{}
{}</title><rect class="hit" x="{x}" width="{STEP}" height="{HEIGHT}"/>"#,
                escaped(&day.label),
                escaped(&day.shown)
            )?;
            write!(
                f,
                r#"<rect class="bar{last}" x="{x}.{}" y="{}.{:02}" width="{BAR}" height="{height}.{rest:02}"/></g>"#,
                (STEP - BAR) * 5,
                from_top / 100,
                from_top % 100
            )?;
        }
        write!(f, r#"<path class="base" d="M0 {HEIGHT}H{width}"/></svg><div class="x" aria-hidden="true">"#)?;
        for label in axis_labels(&self.days) {
            write!(f, "<span>{}</span>", escaped(label))?;
        }
        write!(
            f,
            r#"</div><details class="fold"><summary>{}</summary><div class="table-wrap"><table class="table plain"><thead><tr><th>{}</th><th class="num">{}</th></tr></thead><tbody>"#,
            self.lang.t("以表格查看", "Show as a table"),
            escaped(&self.heads[0]),
            escaped(&self.heads[1])
        )?;
        for day in self.days.iter().rev() {
            write!(f, r#"<tr><td>{}</td><td class="num">{}</td></tr>"#, escaped(&day.label), escaped(&day.shown))?;
        }
        f.write_str("</tbody></table></div></details></figure>")
    }
}

impl HtmlSafe for DayChart {}

/// Up to five labels, evenly spread, the first and the last among them.
fn axis_labels(days: &[Day]) -> impl Iterator<Item = &str> {
    let last = days.len().saturating_sub(1);
    let parts = last.clamp(1, 4);
    let count = if days.len() > 1 { parts + 1 } else { days.len() };
    (0..count).map(move |i| days[i * last / parts].label.as_str())
}

/// One part of a whole, such as a payment method.
#[derive(Clone, Debug)]
pub struct Share {
    pub name: String,
    /// Decides the width, in any unit that all parts share.
    pub value: u64,
    /// The value for people.
    pub shown: String,
}

/// One bar cut into parts, with its legend. The largest first; beyond six, the rest should be added up by the caller.
pub struct Shares {
    pub title: String,
    pub parts: Vec<Share>,
}

/// Colours that the style sheet has for parts.
const PART_COLOURS: usize = 6;

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole: u128 = self.parts.iter().map(|part| u128::from(part.value)).sum();
        // Thousandths of the whole; an empty whole has empty parts.
        let thousandths = |value: u128| (value * 1000).checked_div(whole).unwrap_or(0);
        write!(
            f,
            r#"<figure class="shares"><svg class="strip" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{}">"#,
            escaped(&self.title)
        )?;
        let mut before = 0;
        for (i, part) in self.parts.iter().enumerate() {
            let (from, to) = (thousandths(before), thousandths(before + u128::from(part.value)));
            before += u128::from(part.value);
            write!(
                f,
                r#"<rect class="c{}" x="{from}" width="{}" height="10"><title>{}
{}</title></rect>"#,
                i % PART_COLOURS + 1,
                to - from,
                escaped(&part.name),
                escaped(&part.shown)
            )?;
        }
        f.write_str(r#"</svg><ul class="legend">"#)?;
        for (i, part) in self.parts.iter().enumerate() {
            write!(
                f,
                r#"<li><span class="key c{}"></span><span class="name">{}</span><span class="num">{}</span><span class="part">{}%</span></li>"#,
                i % PART_COLOURS + 1,
                escaped(&part.name),
                escaped(&part.shown),
                (thousandths(u128::from(part.value)) + 5) / 10
            )?;
        }
        f.write_str("</ul></figure>")
    }
}

impl HtmlSafe for Shares {}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[u64]) -> String {
        let day = |(i, value): (usize, &u64)| Day { label: format!("d{i}"), value: *value, shown: value.to_string() };
        DayChart {
            lang: Lang::En,
            title: "t".into(),
            heads: ["Day".into(), "Taken".into()],
            days: values.iter().enumerate().map(day).collect(),
            last_is_open: false,
            axis: |value| value.to_string(),
        }
        .to_string()
    }

    #[test]
    fn the_axis_ends_on_a_round_number() {
        let tops: Vec<u64> = [0, 1, 2, 3, 61, 100, 101, 9_999].into_iter().map(round_up).collect();
        assert_eq!(tops, [2, 2, 2, 4, 80, 100, 200, 10_000]);
        assert!(round_up(u64::MAX) == u64::MAX);
    }

    #[test]
    fn no_day_one_day_and_huge_days_are_drawn() {
        assert!(!chart(&[]).contains("class=\"bar"));
        assert!(chart(&[5]).contains(r#"height="83.33""#));
        let huge = chart(&[u64::MAX, 1, 0]);
        assert!(
            huge.contains(r#"height="100.00""#)
                && huge.contains(r#"height="1.00""#)
                && huge.contains(r#"height="0.00""#)
        );
    }

    #[test]
    fn five_labels_at_most_stand_below() {
        let days: Vec<Day> = (0..30).map(|i| Day { label: i.to_string(), value: 0, shown: String::new() }).collect();
        assert_eq!(axis_labels(&days).collect::<Vec<_>>(), ["0", "7", "14", "21", "29"]);
        assert_eq!(axis_labels(&days[..2]).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(axis_labels(&days[..1]).count(), 1);
        assert_eq!(axis_labels(&[]).count(), 0);
    }

    #[test]
    fn parts_fill_the_whole() {
        let part = |value| Share { name: "<b>".into(), value, shown: String::new() };
        let text = Shares { title: String::new(), parts: vec![part(1), part(1), part(1)] }.to_string();
        assert!(text.contains(r#"x="0" width="333""#) && text.contains(r#"x="666" width="334""#));
        assert!(!text.contains("<b>"));
        assert!(Shares { title: String::new(), parts: vec![part(0)] }.to_string().contains("0%"));
    }
}
