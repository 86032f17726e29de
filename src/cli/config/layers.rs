//! The sources of the configuration laid over each other: which value wins, where it came from, and what nobody asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use super::keys::KEYS;
use super::value::Setting;

/// What every variable begins with.
pub const ENV_PREFIX: &str = "COFFER_";

/// Variables that say where the configuration is, or where a shop reaches a server, instead of being part of it.
const WHERE: [&str; 4] = ["COFFER_DATA", "COFFER_CONFIG", "COFFER_URL", "COFFER_KEY"];

/// A container cluster sets such variables for every service named "coffer".
const FROM_CLUSTER: [&str; 2] = ["COFFER_SERVICE_", "COFFER_PORT"];

/// Where a value comes from. What is not set comes from nowhere and has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { name: String },
    Environment { variable: String },
    CommandLine,
}

/// A default and perhaps bounds.
pub(super) struct Rule<T> {
    default: T,
    bounds: Option<RangeInclusive<u64>>,
}

/// A key that needs nothing but a default.
pub(super) fn or<T>(default: T) -> Rule<T> {
    Rule { default, bounds: None }
}

/// A number with its smallest, usual and largest value.
pub(super) fn between(min: u64, default: u64, max: u64) -> Rule<u64> {
    Rule { default, bounds: Some(min..=max) }
}

/// The sources, and what was found wrong in them.
pub(super) struct Layers<'a> {
    path: &'a Path,
    file: toml::Table,
    environment: &'a BTreeMap<String, String>,
    overrides: &'a [(&'static str, String)],
    origins: BTreeMap<String, Origin>,
    problems: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        path: &'a Path,
        text: Option<&str>,
        environment: &'a BTreeMap<String, String>,
        overrides: &'a [(&'static str, String)],
    ) -> Self {
        let mut problems = Vec::new();
        let file = text.map_or_else(
            || Ok(toml::Table::new()),
            |text| text.parse::<toml::Table>().map_err(|error| format!("{}: {error}", path.display())),
        );
        let file = file.unwrap_or_else(|problem| {
            problems.push(problem);
            toml::Table::new()
        });
        problems.extend(unknown_in_file(&file));
        problems.extend(unknown_in_environment(environment));
        Self { path, file, environment, overrides, origins: BTreeMap::new(), problems }
    }

    /// The value that wins. A wrong one is noted, and the default stands in so that the rest can be checked too.
    pub(super) fn take<T: Setting>(&mut self, section: &str, key: &str, rule: Rule<T>) -> T {
        let path = format!("{section}.{key}");
        let variable = format!("{ENV_PREFIX}{section}_{key}").to_ascii_uppercase();
        let overridden = self.overrides.iter().rev().find(|(name, _)| *name == path);
        let (read, origin, place) = if let Some((_, text)) = overridden {
            (T::from_text(text), Origin::CommandLine, format!("{section}.{key} on the command line"))
        } else if let Some(text) = self.environment.get(&variable) {
            (T::from_text(text), Origin::Environment { variable: variable.clone() }, variable)
        } else if let Some(value) = self.file.get(section).and_then(|section| section.get(key)) {
            let folder = self.path.parent().unwrap_or(Path::new(""));
            let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (T::from_toml(value).map(|v| v.relative_to(folder)), Origin::File { name }, format!("[{section}] {key}"))
        } else {
            return rule.default;
        };
        let value = match read {
            Ok(value) => value,
            Err(expected) => {
                self.problems.push(format!("{place} {expected}"));
                return rule.default;
            }
        };
        if let (Some(number), Some(bounds)) = (value.number(), rule.bounds)
            && !bounds.contains(&number)
        {
            self.problems.push(format!("{place} must be from {} to {}", bounds.start(), bounds.end()));
            return rule.default;
        }
        self.origins.insert(path, origin);
        value
    }

    /// systemd's own variable, which has no key of ours.
    pub(super) fn credentials_dir(&self) -> Option<std::path::PathBuf> {
        self.environment.get("CREDENTIALS_DIRECTORY").map(Into::into)
    }

    pub(super) fn finish(self) -> (BTreeMap<String, Origin>, Vec<String>) {
        (self.origins, self.problems)
    }
}

fn unknown_in_file(file: &toml::Table) -> Vec<String> {
    let sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    let mut problems = Vec::new();
    for (section, content) in file {
        if !sections.contains(&section.as_str()) {
            let home = KEYS.iter().find(|key| key.name == section);
            problems.push(match (home, nearest(section, sections.iter().copied())) {
                (Some(key), _) => format!("{section} stands outside of its section [{}]", key.section),
                (None, Some(near)) => format!("[{section}] is not a section; did you mean `[{near}]`?"),
                (None, None) => format!("[{section}] is not a section"),
            });
            continue;
        }
        let Some(content) = content.as_table() else {
            problems.push(format!("{section} is a section: write [{section}] above its keys"));
            continue;
        };
        let keys: Vec<&str> = KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
        for name in content.keys().filter(|name| !keys.contains(&name.as_str())) {
            problems.push(unknown(&format!("[{section}] {name}"), nearest(name, keys.iter().copied())));
        }
    }
    problems
}

fn unknown_in_environment(environment: &BTreeMap<String, String>) -> Vec<String> {
    let variables: Vec<String> = KEYS.iter().map(|key| key.variable()).collect();
    let known = |name: &str| WHERE.contains(&name) || variables.iter().any(|v| v == name);
    let foreign = |name: &str| FROM_CLUSTER.iter().any(|prefix| name.starts_with(prefix));
    environment
        .keys()
        .filter(|name| name.starts_with(ENV_PREFIX) && !known(name) && !foreign(name))
        .map(|name| unknown(name, nearest(name, variables.iter().map(String::as_str))))
        .collect()
}

fn unknown(what: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("{what} is not a setting; did you mean `{near}`?"),
        None => format!("{what} is not a setting"),
    }
}

/// The candidate that a typing error away from `word` would give: at most a third of its letters differ.
fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (word.len() / 3).max(1);
    let distances = candidates.map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), candidate));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to turn one word into the other.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name } => f.write_str(name),
            Origin::Environment { variable } => f.write_str(variable),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}
