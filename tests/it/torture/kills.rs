//! `kill -9` at random moments of a plan that a seed gives, also while it starts.
//!
//! `COFFER_KILLS` asks for more kills, `COFFER_SEED` for another plan:
//! `COFFER_KILLS=200 cargo test --test it torture::kills -- --nocapture`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use coffer::env::Env;
use serde_json::json;

use super::client::Request;
use super::process::{Home, PATIENCE};
use super::receiver::Receiver;
use super::shop::Shops;
use coffer::simulation::Dice;

/// Kills without being asked for more.
const KILLS: u64 = 6;
/// Calls at the same time.
const SHOPS: u64 = 4;
/// Of a hundred starts, so many are killed before they are done.
const KILLED_AT_START_PERCENT: u64 = 20;
/// The offline check runs after each kill of a short run and after every so many of a long one.
const VERIFY_EVERY: u64 = 10;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Lets the receiver hear of everything.
pub fn endpoint(shops: &Shops, address: SocketAddr, receiver: &Receiver) {
    let endpoint = json!({ "url": format!("{}/all", receiver.base) });
    let made = shops.ask(address, &Request::post("/v1/webhook_endpoints", &endpoint, "endpoint"));
    assert_eq!(made.status, 201, "{}", made.body);
    shops.call_back_at(format!("{}/own", receiver.base));
}

/// Starts the shops; they wait to be let in.
pub fn shops_at_work(shops: &Arc<Shops>, address: SocketAddr, dice: &mut Dice) -> Vec<JoinHandle<()>> {
    let start = |number| {
        let (shops, dice) = (shops.clone(), Dice::new(dice.roll()));
        std::thread::spawn(move || shops.work(address, number, dice))
    };
    (0..SHOPS).map(start).collect()
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_told() {
    let (kills, seed) = (number("COFFER_KILLS", KILLS), number("COFFER_SEED", 1));
    let clock = Env::system().clock;
    let begun_ms = clock.monotonic_ms();
    let mut dice = Dice::new(seed);
    let home = Home::new();
    let mut process = Some(home.start());
    let address = process.as_ref().unwrap().address;

    let shops = Arc::new(Shops::new(&home.token, PATIENCE));
    let bell = shops.clone();
    let receiver = Receiver::open(move || bell.tick());
    endpoint(&shops, address, &receiver);
    let workers = shops_at_work(&shops, address, &mut dice);

    let mut killed = 0;
    while killed < kills {
        shops.open();
        shops.wait_for(4 + dice.below(80));
        // Between two things that happen, and not only beside them.
        std::thread::sleep(Duration::from_micros(dice.below(4000)));
        // What is under way stays so; further calls would only hear that nobody is there.
        shops.close();
        process.take().expect("it runs").kill();
        killed += 1;
        if kills < 2 * VERIFY_EVERY || killed.is_multiple_of(VERIFY_EVERY) {
            home.verify();
        }
        while killed < kills && dice.chance(KILLED_AT_START_PERCENT) {
            let mut child = home.serving(&address.to_string()).stderr(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(dice.below(200_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
        let restarted = home.start_at(address);
        shops.compare(address, &mut dice);
        process = Some(restarted);
    }

    shops.finish();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    shops.compare(address, &mut dice);
    let tally = shops.settle(address, || receiver.heard().into_keys().collect());
    process.take().expect("it runs").kill();
    let verified = home.verify();
    let seconds = (clock.monotonic_ms() - begun_ms) / 1000;
    println!("{killed} kills in {seconds} s, seed {seed}, no violation: {tally:?}\n{verified}");
}
