//! Power losses and broken disks: what was answered is there, what was not is whole or absent, and nobody goes on.

use coffer::store::{Order, Read, SimulatedDisk, Span, Store, StoreError, StoreOptions};

use super::{COUNTS, words};

/// A small generator, so that every failure is a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bit(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}

fn open(disk: &SimulatedDisk) -> Result<Store, StoreError> {
    Store::open_disk(disk, StoreOptions::default())
}

/// One write of many rows that must appear together: row `n` counts to `n`, and row 0 holds the last `n`.
fn step(store: &Store, n: u32) -> Result<(), StoreError> {
    store.write_blocking(move |tx| {
        tx.put(&COUNTS, &0, &u64::from(n))?;
        tx.put(&COUNTS, &n, &u64::from(n))?;
        tx.put(&COUNTS, &(1_000_000 - n), &u64::from(n))
    })
}

/// The last step of a store, if every step up to it is there and whole.
fn whole_steps(store: &Store) -> Result<u32, String> {
    let rows = store.read_blocking(|tx| tx.scan(&COUNTS, &Span::all(), Order::Ascending, 10_000));
    let rows: Vec<(u32, u64)> = rows.map_err(|error: StoreError| error.to_string())?;
    let Some(((_, last), rest)) = rows.split_first() else { return Ok(0) };
    let last = u32::try_from(*last).unwrap();
    let up = (1..=last).map(|n| (n, u64::from(n)));
    let down = (1..=last).rev().map(|n| (1_000_000 - n, u64::from(n)));
    if rest.iter().copied().eq(up.chain(down)) { Ok(last) } else { Err(format!("{rows:?}")) }
}

fn last_step(store: &Store) -> u32 {
    whole_steps(store).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn an_answered_write_survives_a_power_loss() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for n in 1..=25 {
        step(&store, n).unwrap();
        for after in
            [disk.after_power_loss(|| false), disk.after_power_loss(|| true), disk.after_power_loss(|| dice.bit())]
        {
            assert_eq!(last_step(&open(&after).unwrap()), n);
        }
    }
}

#[test]
fn a_write_that_the_disk_breaks_is_whole_or_absent_and_stops_the_store() {
    let mut outcomes = [0, 0];
    for operations in 0.. {
        let disk = SimulatedDisk::new();
        let store = open(&disk).unwrap();
        for n in 1..=3 {
            step(&store, n).unwrap();
        }
        disk.break_after(operations);
        match step(&store, 4) {
            Ok(()) => {
                assert!(operations > 2, "the disk had no time to break");
                break;
            }
            Err(StoreError::Io { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(*store.failed().borrow());
        assert!(store.stats().failed);
        assert!(matches!(step(&store, 5), Err(StoreError::Stopped)));

        let mut dice = Dice(operations + 1);
        for _ in 0..8 {
            let after = disk.after_power_loss(|| dice.bit());
            let store = open(&after).unwrap();
            let last = last_step(&store);
            assert!(last == 3 || last == 4, "after {operations} operations: {last}");
            outcomes[usize::from(last == 4)] += 1;
            step(&store, last + 1).unwrap();
        }
    }
    assert!(outcomes[0] > 0, "some loss must have hit the write: {outcomes:?}");
}

#[test]
fn a_store_dropped_without_closing_has_every_answered_write() {
    let disk = SimulatedDisk::new();
    for n in 1..=5 {
        step(&open(&disk).unwrap(), n).unwrap();
    }
    let store = open(&disk).unwrap();
    assert_eq!(last_step(&store), 5);
    assert_eq!(words(&store), []);
}

/// Loses power again and again while the store is opened, and opens it in the end.
fn open_in_spite_of_power_losses(
    mut disk: SimulatedDisk,
    dice: &mut Dice,
) -> Result<(SimulatedDisk, Store), StoreError> {
    for _ in 0..dice.roll() % 4 {
        disk.break_after(dice.roll() % 60);
        drop(open(&disk));
        disk = disk.after_power_loss(|| dice.bit());
    }
    open(&disk).map(|store| (disk, store))
}

/// Begins with no file. It is created aside, closed, and gets its name: before that a loss of power leaves none.
fn created_in_spite_of_power_losses(dice: &mut Dice) -> Result<SimulatedDisk, String> {
    for _ in 0..dice.roll() % 4 {
        let aside = SimulatedDisk::new();
        aside.break_after(dice.roll() % 60);
        if let Ok(store) = open(&aside) {
            store.close();
        }
    }
    let aside = SimulatedDisk::new();
    let store = open(&aside).map_err(|error| format!("it is not created: {error}"))?;
    store.close();
    // What was not synced before it got its name may be gone.
    aside.break_after(0);
    Ok(aside.after_power_loss(|| dice.bit()))
}

/// A life of many power losses, most of them in the middle of a commit. Answers what was lost or torn, if anything was.
fn life(seed: u64, ignore_one_sync_in: Option<u64>) -> Result<(), String> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut disk = created_in_spite_of_power_losses(&mut dice)?;
    if let Some(each) = ignore_one_sync_in {
        disk.ignore_one_sync_in(each);
    }
    let mut answered = 0;
    for _ in 0..12 {
        let (opened, store) =
            open_in_spite_of_power_losses(disk, &mut dice).map_err(|error| format!("it does not open: {error}"))?;
        let last = whole_steps(&store)?;
        if last < answered || last > answered + 1 {
            return Err(format!("{answered} steps were answered, {last} are there"));
        }
        answered = last;
        opened.break_after(dice.roll() % 120);
        while step(&store, answered + 1).is_ok() {
            answered += 1;
        }
        opened.break_after(0);
        drop(store);
        disk = opened.after_power_loss(|| dice.bit());
    }
    Ok(())
}

#[test]
fn a_life_of_power_losses_in_commits_and_in_recoveries_loses_nothing_that_was_answered() {
    for seed in 1..=60 {
        life(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn a_disk_that_ignores_one_sync_in_seven_is_noticed() {
    let noticed = (1..=60).filter(|seed| life(*seed, Some(7)).is_err()).count();
    assert!(noticed > 6, "only {noticed} of 60 lives on a lying disk went wrong");
}
