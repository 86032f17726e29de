//! The configuration, the command line and what is refused.

use super::running::Folder;

#[test]
fn the_effective_configuration_names_the_source_of_each_value() {
    let folder = Folder::new();
    folder.write("coffer.toml", "[server]\nworkers = 3\n[store]\ncache_mb = 16");
    let out = folder.run_with(&["config"], &[("COFFER_STORE_CACHE_MB", "32")]).fine();
    let line = |start: &str| out.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("workers = 3").ends_with("# coffer.toml"));
    assert!(line("cache_mb = 32").ends_with("# COFFER_STORE_CACHE_MB"));
    assert!(line("queue = ").ends_with("# default"));
}

#[test]
fn an_unknown_key_is_refused_with_a_hint_and_its_own_exit_code() {
    let folder = Folder::new();
    folder.write("coffer.toml", "[server]\nlissten = \"127.0.0.1:1\"");
    let err = folder.run(&["config"]).refused(3);
    assert!(err.contains("did you mean `listen`?"), "{err}");
}

#[test]
fn a_configuration_file_that_was_named_must_exist() {
    let folder = Folder::new();
    let err = folder.run(&["config", "--config", "missing.toml"]).refused(3);
    assert!(err.contains("missing.toml cannot be read"), "{err}");
}

#[test]
fn completions_know_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let out = folder.run(&["completions", shell]).fine();
        assert!(out.contains("backup") && out.contains("restore"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_has_its_own_exit_code_and_the_help_lists_all() {
    let folder = Folder::new();
    folder.run(&["sevre"]).refused(2);
    let help = folder.run(&["--help"]).fine();
    assert!(help.contains("Exit codes:") && help.contains("COFFER_DATA"), "{help}");
}
