//! Passwords: Argon2id on a bounded number of blocking threads, and the rules that refuse the easy ones.
//!
//! The rules are our own. A password is judged by what is left of it when everything guessable is taken away: common
//! words, the names it stands beside, years, runs (`1234`, `aaaa`, `qwer`) and repetitions. That catches the head of
//! every list of breached passwords without shipping one; a full list of breached passwords is not part of the program.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::env::{Entropy, random};

/// Fewest characters (not bytes) of a password.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Most characters; more would only cost time.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Characters that must be left when everything guessable is taken away.
pub const RESIDUE_CHARS_MIN: usize = 6;
/// Different characters a password must have.
pub const DISTINCT_CHARS_MIN: usize = 6;

/// Hashes that run at once. Each takes a core and [`Cost::memory_kib`].
const HASHES_AT_ONCE: usize = 2;
/// Hashes that may wait for their turn; beyond that the console says that it is busy.
const HASHES_WAITING_MAX: usize = 32;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// A password on its way to be hashed. Prints nothing, is wiped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What hashing costs. Stored with each hash, so that it can be raised later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// 19 MiB, two passes, one lane. Source: OWASP Password Storage Cheat Sheet, Argon2id.
    pub const STANDARD: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
}

/// A salted Argon2id hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl PasswordHash {
    fn compute(password: &Password, cost: Cost, salt: [u8; SALT_BYTES]) -> Self {
        let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES))
            .expect("costs are constants within Argon2's range");
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut hash = [0; HASH_BYTES];
        argon2.hash_password_into(password.as_str().as_bytes(), &salt, &mut hash).expect("lengths are constants");
        Self { cost, salt, hash }
    }

    fn matches(&self, password: &Password) -> bool {
        let other = Self::compute(password, self.cost, self.salt);
        self.hash.ct_eq(&other.hash).into()
    }

    /// For tests that need a user and no password.
    #[cfg(test)]
    pub fn that_never_matches() -> Self {
        Self { cost: Cost::STANDARD, salt: [0; SALT_BYTES], hash: [0; HASH_BYTES] }
    }

    /// Made with less than today's cost: hash again at the next login.
    pub fn is_outdated(&self) -> bool {
        self.cost != Cost::STANDARD
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// Too many people log in at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Hashes on blocking threads, a few at a time, so that a flood of logins takes neither all memory nor all cores.
#[derive(Clone)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Stands in for the hash of a user who does not exist: both answers take the same time.
    dummy: PasswordHash,
    entropy: Arc<dyn Entropy>,
}

impl Hasher {
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let dummy =
            PasswordHash { cost: Cost::STANDARD, salt: random(entropy.as_ref()), hash: random(entropy.as_ref()) };
        Self { turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)), waiting: Arc::default(), dummy, entropy }
    }

    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Busy> {
        let salt = random(self.entropy.as_ref());
        self.run(move || PasswordHash::compute(&password, Cost::STANDARD, salt)).await
    }

    /// Whether the password is right. Without a stored hash (no such user) it works as long and says no.
    pub async fn verify(&self, stored: Option<PasswordHash>, password: Password) -> Result<bool, Busy> {
        let exists = stored.is_some();
        let against = stored.unwrap_or_else(|| self.dummy.clone());
        Ok(self.run(move || against.matches(&password)).await? && exists)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _place = Place::take(&self.waiting)?;
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        Ok(tokio::task::spawn_blocking(work).await.expect("hashing does not panic"))
    }
}

/// A place in the queue, given back when dropped, also when the client goes away.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, Busy> {
        let place = Self(waiting);
        // The drop of `place` undoes the addition in both cases.
        if waiting.fetch_add(1, Ordering::AcqRel) >= HASHES_WAITING_MAX + HASHES_AT_ONCE {
            Err(Busy)
        } else {
            Ok(place)
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    TooShort,
    TooLong,
    /// The same few characters over and over.
    Repetitive,
    /// Digits only.
    OnlyDigits,
    /// Little is left beside common words, keyboard runs, years and the names of user and shop.
    Guessable,
}

/// Judges a new password. `beside` are the names that must not carry it: login, person, shop.
pub fn judge(password: &Password, beside: &[&str]) -> Result<(), Weak> {
    let chars = password.as_str().chars().count();
    if chars < PASSWORD_CHARS_MIN {
        return Err(Weak::TooShort);
    }
    if chars > PASSWORD_CHARS_MAX {
        return Err(Weak::TooLong);
    }
    if password.as_str().chars().all(|c| c.is_numeric() || c.is_ascii_punctuation() || c.is_whitespace()) {
        return Err(Weak::OnlyDigits);
    }
    let plain: Vec<char> = password.as_str().chars().flat_map(char::to_lowercase).collect();
    let distinct: std::collections::BTreeSet<&char> = plain.iter().collect();
    if distinct.len() < DISTINCT_CHARS_MIN || is_periodic(&plain) {
        return Err(Weak::Repetitive);
    }
    if residue(&plain, beside) < RESIDUE_CHARS_MIN { Err(Weak::Guessable) } else { Ok(()) }
}

/// The whole is one shorter piece, repeated.
fn is_periodic(chars: &[char]) -> bool {
    (1..=chars.len() / 2).any(|period| chars.iter().skip(period).eq(chars.iter().take(chars.len() - period)))
}

/// Letters and digits left when all that is guessable is taken away.
fn residue(chars: &[char], beside: &[&str]) -> usize {
    let without_runs: String = drop_runs(chars).into_iter().collect();
    // Numbers and signs at the ends are what people add to a word when a form asks for them.
    let core = without_runs.trim_matches(|c: char| !c.is_alphabetic());
    let mut text: String = core.chars().map(unleet).filter(|c| c.is_alphanumeric()).collect();
    let mut pieces: Vec<String> = beside
        .iter()
        .flat_map(|name| name.split(|c: char| !c.is_alphanumeric()))
        .chain(COMMON.split_whitespace())
        .map(|piece| piece.chars().flat_map(char::to_lowercase).map(unleet).collect::<String>())
        .filter(|piece| piece.chars().count() >= 2)
        .collect();
    // Longer ones first: `administrator` before `admin`.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    for piece in &pieces {
        // A separator stays, so that taking one piece away does not forge another.
        text = text.replace(piece.as_str(), " ");
    }
    text.split(' ').map(|part| part.chars().count()).sum()
}

/// Runs of three and more along the alphabet, the digits or a keyboard row shrink to nothing.
fn drop_runs(chars: &[char]) -> Vec<char> {
    let mut kept = Vec::with_capacity(chars.len());
    let mut start = 0;
    while start < chars.len() {
        let mut end = start + 1;
        while end < chars.len() && neighbours(chars[end - 1], chars[end]) {
            end += 1;
        }
        if end - start < 3 {
            kept.extend_from_slice(&chars[start..end]);
        }
        start = end;
    }
    kept
}

/// One key or one letter apart, or the same.
fn neighbours(a: char, b: char) -> bool {
    const ROWS: [&str; 9] = [
        "abcdefghijklmnopqrstuvwxyz",
        "01234567890",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "!@#$%^&*()",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
        "azertyuiop",
        "qwertzuiop",
    ];
    a == b
        || ROWS.iter().any(|row| {
            let pair = |x: char, y: char| row.chars().zip(row.chars().skip(1)).any(|p| p == (x, y));
            pair(a, b) || pair(b, a)
        })
}

/// The letter that a digit or sign commonly stands for.
fn unleet(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// Words that people reach for first, in English and in pinyin. Our own short list.
const COMMON: &str = "
    password passwort passwd passw pass word secret private default changeme change letmein login logon signin welcome
    administrator admin root super user guest test demo temp master manager owner boss office company business
    payment gateway paycenter wallet cashier console merchant market shop store coffer money cash rich gold bank
    wechat weixin alipay zhifubao unionpay yinlian taobao tmall jingdong huawei xiaomi tencent baidu alibaba
    woaini aini iloveyou loveyou lovely love forever baby honey angel princess sunshine flower summer winter spring autumn
    monday friday january december dragon tiger monkey eagle shadow superman batman football baseball soccer basketball
    michael jordan jennifer daniel charlie thomas george hello world computer internet samsung google apple windows linux
    mima wode nihao zhongguo china beijing shanghai shenzhen guangzhou facai gongxi fafafa qianxia qian xia laoban
    correct horse battery staple trustno starwars pokemon whatever freedom killer hunter ninja access server system oracle mysql
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    fn judged(text: &str) -> Result<(), Weak> {
        judge(&Password::new(text.into()), &["chen.li@mugs.example", "陈丽", "Blue Heron Ceramics"])
    }

    #[test]
    fn guessable_passwords_are_refused_by_reason() {
        use Weak::{Guessable, OnlyDigits, Repetitive, TooLong, TooShort};
        for (text, reason) in [
            ("", TooShort),
            ("Tr0ub4dor&3", TooShort),
            ("138001380001", OnlyDigits),
            ("2024-01-31 12:00", OnlyDigits),
            ("aaaaaaaaaaaaaaaa", Repetitive),
            ("x7kqx7kqx7kqx7kq", Repetitive),
            ("abababababac", Repetitive),
            ("password1234", Guessable),
            ("P@ssw0rd!2024", Guessable),
            ("Administrator1", Guessable),
            ("qwertyuiop123", Guessable),
            ("1qaz2wsx3edc", Guessable),
            ("abcdefghijkl", Guessable),
            ("woaini1314520", Guessable),
            ("iloveyou2026!!", Guessable),
            ("correcthorsebatterystaple", Guessable),
            ("BlueHeron2026!", Guessable),
            ("chenli-ceramics", Guessable),
            ("chen.li@mugs.example1", Guessable),
            ("WeixinAlipay888", Guessable),
        ] {
            assert_eq!(judged(text), Err(reason), "{text:?}");
        }
        assert_eq!(judged(&"aB3$xyzw".repeat(17)), Err(TooLong));
    }

    #[test]
    fn long_sentences_and_random_strings_are_welcome() {
        for text in
            ["rainy mugs drift upstream", "Vq9t-ZkeW-u2Lm", "茶杯放在窗台左边第三格里面啊", "zebra uncle plans volcano"]
        {
            assert_eq!(judged(text), Ok(()), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_password_opens_its_own_hash_only_and_nobody_opens_a_missing_one() {
        let hasher = Hasher::new(Arc::new(SystemEntropy));
        let password = || Password::new("rainy mugs drift upstream".into());
        let hash = hasher.hash(password()).await.unwrap();
        assert!(!hash.is_outdated());
        assert_ne!(hash, hasher.hash(password()).await.unwrap(), "two hashes of one password differ by their salt");
        assert_eq!(hasher.verify(Some(hash.clone()), password()).await, Ok(true));
        assert_eq!(hasher.verify(Some(hash), Password::new("rainy mugs drift upstreaM".into())).await, Ok(false));
        assert_eq!(hasher.verify(None, password()).await, Ok(false));
        assert_eq!(hasher.dummy.cost, Cost::STANDARD, "a missing user costs what a real one costs");
    }

    #[test]
    fn a_full_queue_refuses_and_every_place_is_given_back() {
        let waiting = AtomicUsize::new(0);
        let places: Vec<_> = (0..HASHES_WAITING_MAX + HASHES_AT_ONCE).map(|_| Place::take(&waiting).unwrap()).collect();
        assert!(Place::take(&waiting).is_err());
        drop(places);
        assert_eq!(waiting.load(Ordering::Acquire), 0);
        assert!(Place::take(&waiting).is_ok());
    }
}
