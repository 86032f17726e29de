//! Setting up a data folder.

use super::running::Folder;

#[test]
fn init_prints_once_what_a_script_needs_and_does_not_run_twice() {
    let folder = Folder::new();
    let shown = folder.init();
    let text = |key: &str| shown[key].as_str().unwrap().to_owned();
    assert!(text("setup_url").starts_with(&format!("{}/console/setup/", text("base_url"))));
    assert!(text("api_key").starts_with("sk_test_"));
    assert!(text("callback_secret").starts_with("whsec_"));
    assert_ne!(text("callback_secret"), text("live_callback_secret"));
    let err = folder.run(&["init"]).refused(1);
    assert!(err.contains("is set up already"), "{err}");
}

#[cfg(unix)]
#[test]
fn what_init_leaves_is_for_its_owner_alone_and_holds_no_shown_secret() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::remove_dir(folder.path("")).unwrap();
    let shown = folder.init();
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("master.key"), 0o400);
    assert_eq!(mode("coffer.db"), 0o600);
    let store = std::fs::read(folder.path("coffer.db")).unwrap();
    let configuration = std::fs::read(folder.path("coffer.toml")).unwrap();
    let token = shown["setup_url"].as_str().unwrap().rsplit('/').next().unwrap();
    for secret in [shown["api_key"].as_str().unwrap(), &shown["callback_secret"].as_str().unwrap()[6..], token] {
        for file in [&store, &configuration] {
            assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[test]
fn the_base_url_goes_into_the_configuration_and_the_link() {
    let folder = Folder::new();
    let out = folder.run(&["init", "--base-url", "https://pay.example.com"]).fine();
    assert!(out.contains("https://pay.example.com/console/setup/"), "{out}");
    let effective = folder.run(&["config"]).fine();
    let line = effective.lines().find(|line| line.starts_with("base_url")).unwrap();
    assert!(line.contains("https://pay.example.com") && line.ends_with("# coffer.toml"), "{line}");
    Folder::new().run(&["init", "--base-url", "pay.example.com"]).refused(2);
    Folder::new().run(&["init", "--zone", "Asia/Nowhere"]).refused(2);
}

#[test]
fn a_key_from_the_environment_is_used_and_not_written_down() {
    let folder = Folder::new();
    let key = "0123456789abcdef".repeat(4);
    let environment = [("COFFER_MASTER_KEY", key.as_str())];
    let out = folder.run_with(&["init"], &environment).fine();
    assert!(out.contains("from the environment") && !out.contains(&key), "{out}");
    assert!(!folder.path("master.key").exists());
    folder.run_with(&["key", "list"], &environment).fine();
    folder.run(&["key", "create", "--name", "x"]).refused(3);
}

#[test]
fn an_init_that_was_cut_off_can_be_repeated() {
    let folder = Folder::new();
    folder.init();
    // As if the last step, giving the store its name, had not been reached.
    std::fs::rename(folder.path("coffer.db"), folder.path("coffer.db.new")).unwrap();
    let err = folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(1);
    assert!(err.contains("coffer init"), "{err}");
    folder.init();
    folder.run(&["user", "list"]).fine();
}
