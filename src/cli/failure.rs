//! How a command fails: a sentence for the person at the keyboard, and a number for scripts.

use std::error::Error;
use std::fmt;

use super::config::ConfigError;
use crate::crypto::OpenError;
use crate::crypto::master_key::MasterKeyError;
use crate::store::StoreError;

/// What scripts can tell apart. The numbers are part of the interface and are listed in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Exit {
    /// The command could not do what it should.
    Failed = 1,
    /// The configuration or the master key does not work. (2 is a wrong command line.)
    Configuration = 3,
    /// `verify`, `doctor` or `simulate` found something wrong.
    Found = 4,
    /// Another process has the data.
    InUse = 5,
    /// The server stopped because reading or writing the data failed.
    Storage = 6,
}

/// The end of the help text.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the command failed; the reason is on the standard error stream
  2  the command line is wrong
  3  the configuration or the master key does not work
  4  verify, doctor or simulate found something wrong
  5  another process has the data
  6  the server stopped because reading or writing the data failed";

/// Why a command ends early.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub exit: Exit,
    /// One sentence that says what to do, without a full stop.
    pub message: String,
    /// The causes below it, outermost first.
    pub causes: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new() }
    }

    /// An error and its causes.
    pub fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut causes = Vec::new();
        let mut below = error.source();
        while let Some(cause) = below {
            causes.push(cause.to_string());
            below = cause.source();
        }
        Self { exit, message: error.to_string(), causes }
    }

    /// Says what was being done.
    pub fn during(mut self, doing: &str) -> Self {
        let said = std::mem::replace(&mut self.message, doing.to_owned());
        self.causes.insert(0, said);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  because: {cause}"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(Exit::Configuration, &error)
    }
}

impl From<MasterKeyError> for Failure {
    fn from(error: MasterKeyError) -> Self {
        Self::of(Exit::Configuration, &error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::of(Exit::Configuration, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Locked => Exit::InUse,
            StoreError::Corrupt { .. } | StoreError::Damaged { .. } | StoreError::UnknownTable { .. } => Exit::Found,
            StoreError::Busy
            | StoreError::Stopped
            | StoreError::Panicked
            | StoreError::Foreign { .. }
            | StoreError::Empty { .. }
            | StoreError::Missing { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Exists { .. }
            | StoreError::Io { .. } => Exit::Failed,
        };
        Self::of(exit, &error)
    }
}
