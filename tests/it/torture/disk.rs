//! A disk without space: nothing is answered that is not stored, the server stops and says why, and goes on where it was.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::client::{Reply, Request};
use super::process::{End, Home, Process};
use crate::cli::running::Folder;

/// Space beyond what the new store takes, in bytes: enough to begin, and soon used up.
const ROOM_BYTES: u64 = 1 << 20;
/// Payments after which the space should have been used up.
const PAYMENTS_MAX: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A payment that takes some space.
fn large(number: u32) -> Request {
    let note = "备注 ".repeat(160);
    let metadata: serde_json::Map<String, _> = (0..20).map(|key| (format!("k{key}"), json!(note))).collect();
    let body = json!({
        "order_id": format!("L-{number}"),
        "amount": { "currency": "CNY", "value": "9.00" },
        "description": "一只杯子",
        "metadata": metadata,
    });
    Request::post("/v1/payments", &body, &format!("key-{number}"))
}

/// Creates payments until the server has no room; answers what was told, and how it ended.
fn fill(home: &Home, process: Process) -> (Vec<(Request, Reply)>, End) {
    let mut told = Vec::new();
    for number in 0..PAYMENTS_MAX {
        let request = large(number);
        match request.send(process.address, &home.token, PATIENCE) {
            Ok(reply) if reply.status == 201 => told.push((request, reply)),
            Ok(reply) => {
                // 500 means that nobody knows whether it was stored, 503 that it was not.
                assert!(matches!(reply.status, 500 | 503), "{} {}", reply.status, reply.body);
                return (told, process.ended());
            }
            Err(_) => return (told, process.ended()),
        }
    }
    panic!("the space was never used up");
}

/// The server stopped by itself and told the operator what to do.
fn stopped_loudly(end: &End) {
    assert_eq!(end.code, Some(6), "{}", end.log);
    for word in ["the store stops", "look at the disk, then start again and run `coffer verify`"] {
        assert!(end.log.contains(word), "{}", end.log);
    }
}

/// Everything that was told is there, and the next payment too.
fn goes_on(home: &Home, told: &[(Request, Reply)]) {
    let process = home.start();
    for (request, before) in told {
        let again = request.send(process.address, &home.token, PATIENCE).unwrap();
        assert_eq!((again.status, &again.body, again.replayed), (before.status, &before.body, true));
    }
    assert_eq!(large(PAYMENTS_MAX).send(process.address, &home.token, PATIENCE).unwrap().status, 201);
    process.kill();
    home.verify();
}

/// No file of the server may grow beyond a limit; the signal that would kill it is ignored, so that the write fails.
fn limited(home: &Home, bytes: u64) -> Command {
    let serving = home.serving("127.0.0.1:0");
    let mut limited = Command::new("sh");
    limited.env_clear().current_dir(home.folder.path("."));
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    limited.arg("-c").arg(script).arg(serving.get_program()).args(serving.get_args());
    limited
}

#[test]
fn a_file_that_may_not_grow_stops_the_server_and_loses_nothing() {
    let home = Home::new();
    let size = std::fs::metadata(home.folder.path("coffer.db")).unwrap().len();
    let limit = size + ROOM_BYTES;
    let (told, end) = fill(&home, Process::start(limited(&home, limit)));
    stopped_loudly(&end);
    assert!(!told.is_empty());
    home.verify();
    // Without room it does not start, or stops at the first payment.
    match Process::try_start(limited(&home, limit / 2)) {
        Ok(process) => stopped_loudly(&fill(&home, process).1),
        Err(end) => assert!(end.log.contains("failed"), "{}", end.log),
    }
    goes_on(&home, &told);
}

/// A small file system over a folder, until the end of the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where the system does not let us.
    fn over(folder: &Path, bytes: u64) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(folder.to_owned()))
    }

    fn resize(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("-l").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn a_full_disk_stops_the_server_and_loses_nothing() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::over(&folder.path("."), 64 << 20) else {
        println!("only an administrator can mount a small disk; this test did nothing");
        return;
    };
    let home = Home::in_folder(folder);
    let size = std::fs::metadata(home.folder.path("coffer.db")).unwrap().len();
    disk.resize(size + ROOM_BYTES);
    let (told, end) = fill(&home, home.start());
    stopped_loudly(&end);
    assert!(!told.is_empty());
    // Looking needs no room; a backup does, says so, and leaves nothing half done behind.
    home.verify();
    let err = home.folder.run(&["backup", "b.db"]).refused(1);
    assert!(err.contains("failed"), "{err}");
    assert!(!home.folder.path("b.db").exists() && !home.folder.path("b.db.part").exists(), "{err}");
    disk.resize(256 << 20);
    goes_on(&home, &told);
    drop(disk);
}
