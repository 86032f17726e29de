//! Does what is due.
