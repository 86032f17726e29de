//! What `coffer doctor` finds, and the way out it names.

use super::running::{Folder, fixture};

/// The line of a finding that contains these words, with the way out behind it.
fn finding<'o>(out: &'o str, words: &str) -> (&'o str, &'o str) {
    let mut lines = out.lines();
    let line = lines.find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words:?} is missing in\n{out}"));
    (line.split_whitespace().next().unwrap(), lines.next().unwrap_or_default())
}

#[test]
fn a_new_folder_has_no_problem_and_some_advice() {
    let folder = Folder::set_up();
    let out =
        folder.run_with(&["doctor"], &[("COFFER_SERVER_LISTEN", "127.0.0.1:0"), ("PATH", "/usr/bin:/bin")]).fine();
    assert_eq!(finding(&out, "is whole").0, "ok");
    assert_eq!(finding(&out, "the master key fits the data").0, "ok");
    assert_eq!(finding(&out, "lies beside the data").0, "warning");
    assert_eq!(finding(&out, "MB are free").0, "ok");
    let (kind, way) = finding(&out, "there is no backup");
    assert!(kind == "warning" && way.contains("coffer backup"), "{out}");
    let (kind, way) = finding(&out, "nobody can log in");
    assert!(kind == "warning" && way.contains("coffer user add"), "{out}");
    folder.run(&["backup"]).fine();
    let out = folder.run(&["doctor"]).fine();
    assert_eq!(finding(&out, "the newest backup is").0, "ok");
}

#[cfg(unix)]
#[test]
fn open_permissions_are_a_problem_with_a_command_that_helps() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::set_up();
    let open =
        |name: &str, mode| std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    open("", 0o755);
    open("master.key", 0o644);
    let said = folder.run(&["doctor"]);
    assert_eq!(said.code, 4);
    assert!(finding(&said.out, "others may look into").1.contains("chmod 0700"), "{}", said.out);
    assert!(finding(&said.out, "others may read the master key").0 == "problem", "{}", said.out);
    assert!(said.err.contains("problems were found"), "{}", said.err);
}

#[test]
fn a_public_server_without_encryption_is_a_problem() {
    let folder = Folder::set_up();
    folder.write("coffer.toml", "[server]\nlisten = \"0.0.0.0:0\"");
    let said = folder.run(&["doctor"]);
    assert_eq!((said.code, finding(&said.out, "not where customers are").0), (4, "problem"));
    folder.write("coffer.toml", "[server]\nlisten = \"0.0.0.0:0\"\nbase_url = \"http://localhost\"");
    assert!(finding(&folder.run(&["doctor"]).out, "is not encrypted").1.contains("[tls]"));
    folder.write("coffer.toml", "[server]\nbase_url = \"https://localhost\"");
    assert!(finding(&folder.run(&["doctor"]).out, "no proxy is trusted").1.contains("trusted_proxies"));
}

#[test]
fn a_certificate_for_another_host_is_a_problem() {
    let folder = Folder::set_up();
    let configure = |host: &str| {
        let (cert, key) = (fixture("one.cert.pem"), fixture("one.key.pem"));
        let tls = format!("[tls]\ncert_file = {cert:?}\nkey_file = {key:?}");
        folder.write("coffer.toml", &format!("[server]\nbase_url = \"https://{host}\"\n{tls}"));
        folder.run(&["doctor"]).out
    };
    assert_eq!(finding(&configure("localhost"), "the certificate is not for localhost").0, "problem");
    let out = configure("one.example");
    assert_eq!(finding(&out, "the certificate is for one.example").0, "ok");
    assert_eq!(finding(&out, "the certificate is good until").0, "ok");
}

#[test]
fn the_wrong_master_key_is_found_before_the_server_needs_it() {
    let folder = Folder::set_up();
    let said = folder.run_with(&["doctor"], &[("COFFER_MASTER_KEY", &"00".repeat(32))]);
    assert_eq!((said.code, finding(&said.out, "wrong master key").0), (4, "problem"));
}

#[test]
fn beside_a_running_server_the_rest_is_checked() {
    let folder = Folder::set_up();
    let _server = folder.serve();
    assert_eq!(finding(&folder.run(&["doctor"]).fine(), "a server has the data open").0, "ok");
}
