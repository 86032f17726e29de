//! `coffer user` and `coffer key`, with and without a running server.

use super::running::Folder;

/// The id in what `key create` said.
fn key_id(out: &str) -> String {
    out.split(',').next().unwrap().to_owned()
}

#[test]
fn keys_are_made_shown_once_listed_and_revoked() {
    let folder = Folder::set_up();
    let out = folder.run(&["key", "create", "--name", "Shop", "--mode", "live", "--permissions", "read"]).fine();
    let token = out.lines().last().unwrap().to_owned();
    assert!(token.starts_with("sk_live_"), "{out}");
    let id = key_id(&out);
    let list = folder.run(&["key", "list"]).fine();
    let line = list.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains("live") && line.contains("active") && line.contains("Shop"), "{line}");
    assert!(!list.contains(&token));
    folder.run(&["key", "revoke", &id]).fine();
    assert!(folder.run(&["key", "list"]).fine().contains("revoked"));
    folder.run(&["key", "revoke", &id]).refused(1);
    folder.run(&["key", "revoke", "pay_01"]).refused(2);
    folder.run(&["key", "create", "--name", "x", "--permissions", "all"]).refused(2);
}

#[test]
fn a_running_server_takes_the_same_orders() {
    let folder = Folder::set_up();
    let _server = folder.serve();
    let out = folder.run(&["key", "create", "--name", "Shop", "--kind", "hmac"]).fine();
    assert!(out.contains("secret (base64)"), "{out}");
    assert!(folder.run(&["key", "list"]).fine().contains(&key_id(&out)));
    folder.run(&["key", "revoke", &key_id(&out)]).fine();
    let err = folder.run(&["key", "revoke", &key_id(&out)]).refused(1);
    assert!(err.contains("there is no key"), "{err}");
}

#[test]
fn people_are_invited_by_a_link_that_is_printed_once() {
    let folder = Folder::set_up();
    assert!(folder.run(&["user", "list"]).fine().contains("nobody yet"));
    let one = folder.run(&["user", "add", "li@example.com", "--role", "finance"]).fine();
    assert!(one.contains("http://127.0.0.1:8080/console/setup/"), "{one}");
    folder.run(&["user", "add", "li@example.com", "--role", "king"]).refused(2);
    folder.run(&["user", "add", "not a login"]).refused(2);
    for command in ["reset", "disable"] {
        let err = folder.run(&["user", command, "nobody"]).refused(1);
        assert!(err.contains("there is no nobody"), "{err}");
    }
}
