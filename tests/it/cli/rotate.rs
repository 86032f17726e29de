//! The change of the master key: whole, stopped half-way, and refused when a secret would be lost.

use coffer::crypto::{KeyCheck, MasterKey, Vault};
use coffer::domain::ids::{Mode, Scope};
use coffer::domain::time::Timestamp;
use coffer::env::SystemEntropy;
use coffer::store::tables::{ANSWERS, AnswerState, KEY_CHECK, MERCHANTS, StoredAnswer};
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions, WriteTx};

use super::running::Folder;

const ROTATE: [&str; 2] = ["key", "rotate-master"];

fn change(folder: &Folder, f: impl Fn(&mut WriteTx<'_>) + Send + 'static) {
    let store = Store::open(&folder.path("coffer.db"), StoreOptions::default()).unwrap();
    let done = store.write_blocking(move |tx| {
        f(tx);
        Ok::<_, StoreError>(())
    });
    done.unwrap();
    store.close();
}

/// Everything that holds a sealed secret, used: the server opens all of them.
fn works(folder: &Folder) {
    folder.run(&["verify"]).fine();
    let server = folder.serve();
    assert_eq!(server.get("/readyz").0, 200);
    server.signal("TERM");
    let (code, log) = server.ended();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("cannot be used"), "{log}");
}

#[test]
fn after_a_change_the_new_key_opens_everything_and_the_old_one_nothing() {
    let folder = Folder::set_up();
    folder.run(&["key", "create", "--name", "h", "--kind", "hmac"]).fine();
    works(&folder);
    let old = MasterKey::read(&folder.path("master.key")).unwrap().version();
    let out = folder.run(&ROTATE).fine();
    assert!(out.contains("secrets are wrapped under the new key"), "{out}");
    let new = MasterKey::read(&folder.path("master.key")).unwrap().version();
    assert_ne!(old, new);
    works(&folder);
    let kept = folder.path(&format!("master.key.{old}"));
    assert_eq!(MasterKey::read(&kept).unwrap().version(), old);
    assert!(!folder.path("master.key.next").exists());
    let environment = [("COFFER_MASTER_KEY_FILE", kept.to_str().unwrap())];
    let err = folder.run_with(&["serve", "--listen", "127.0.0.1:0"], &environment).refused(3);
    assert!(err.contains("wrong master key") && err.contains(&new.to_string()), "{err}");
    // And once more.
    folder.run(&ROTATE).fine();
    works(&folder);
}

#[test]
fn a_change_that_was_stopped_is_finished_by_running_it_again_and_by_nothing_else() {
    let folder = Folder::set_up();
    let (old, next) = (MasterKey::read(&folder.path("master.key")).unwrap(), MasterKey::generate(&SystemEntropy));
    next.create(&folder.path("master.key.next")).unwrap();
    let (old, changing) = (Vault::new(&old), Vault::changing(&next, &old));
    change(&folder, move |tx| {
        let check: KeyCheck = tx.get(&KEY_CHECK, &0).unwrap().unwrap();
        check.fit(&old).unwrap();
        tx.put(&KEY_CHECK, &0, &check.begin_change(&changing, &SystemEntropy).unwrap()).unwrap();
    });
    let err = folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(3);
    assert!(err.contains("rotate-master` again"), "{err}");
    let other = folder.path("other.key");
    let err = folder.run(&["key", "rotate-master", "--new-key", other.to_str().unwrap()]).refused(3);
    assert!(err.contains("no master key"), "{err}");
    MasterKey::generate(&SystemEntropy).create(&other).unwrap();
    let err = folder.run(&["key", "rotate-master", "--new-key", other.to_str().unwrap()]).refused(3);
    assert!(err.contains("another new key was begun"), "{err}");
    folder.run(&ROTATE).fine();
    assert_eq!(MasterKey::read(&folder.path("master.key")).unwrap().version(), next.version());
    works(&folder);
}

#[test]
fn a_change_whose_last_step_was_not_reached_is_finished() {
    let folder = Folder::set_up();
    let old = std::fs::read(folder.path("master.key")).unwrap();
    folder.run(&ROTATE).fine();
    std::fs::rename(folder.path("master.key"), folder.path("master.key.next")).unwrap();
    std::fs::write(folder.path("master.key"), old).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.path("master.key"), std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(3);
    folder.run(&ROTATE).fine();
    works(&folder);
}

#[test]
fn a_secret_that_would_be_left_behind_stops_the_change_and_nothing_is_lost() {
    let folder = Folder::set_up();
    let old = MasterKey::read(&folder.path("master.key")).unwrap().version();
    // Bytes in a table that holds no secrets, as a secret that nobody thought of would look like.
    change(&folder, move |tx| {
        let (merchant, _) = tx.scan(&MERCHANTS, &Span::all(), Order::Ascending, 1).unwrap().pop().unwrap();
        let reply = AnswerState::Done { status: 200, body: old.to_bytes().to_vec() };
        let answer = StoredAnswer { fingerprint: [0; 16], at: Timestamp::MIN, reply };
        tx.put(&ANSWERS, &(Scope { merchant, mode: Mode::Test }, [0; 16]), &answer).unwrap();
    });
    let err = folder.run(&ROTATE).refused(4);
    assert!(err.contains("table answers still holds a secret"), "{err}");
    assert_eq!(MasterKey::read(&folder.path("master.key")).unwrap().version(), old);
    change(&folder, |tx| {
        let (key, _) = tx.scan(&ANSWERS, &Span::all(), Order::Ascending, 1).unwrap().pop().unwrap();
        tx.delete(&ANSWERS, &key).unwrap();
    });
    folder.run(&ROTATE).fine();
    works(&folder);
}

#[test]
fn keys_are_not_changed_under_a_running_server() {
    let folder = Folder::set_up();
    let _server = folder.serve();
    folder.run(&ROTATE).refused(5);
}
