//! The merchant's console: one file per page, its template of the same name under `templates/console/`.

/// Who may come in: passwords, second factor, sessions and roles.
pub mod auth;
