//! Removes what has outlived its use.
