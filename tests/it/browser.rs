//! A real browser: buys a mug, pays on the phone page, refunds it in the console, with the mouse and with the keyboard
//! alone; and takes pictures of the pages into `target/screenshots`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coffer::console::auth::totp::{TotpSecret, step_at};
use coffer::env::Env;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use crate::cli::running::Folder;
use crate::demo::Demo;

/// Steps from one element to the next that a page may need at most.
const TABS_MAX: usize = 80;
/// A page that waits for something is looked at so often, and so long in all: a page that never gets there fails the
/// test, and a slow machine does not.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 1200;

const DESKTOP: (u32, u32) = (1440, 900);
const PHONE: (u32, u32) = (390, 844);

/// Chromium behind its driver; both end with the test.
struct Browser {
    driver: Child,
    _out: BufReader<std::process::ChildStdout>,
    client: Client,
}

impl Browser {
    async fn open(profile: &Path) -> Browser {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = driver.expect("chromedriver is installed; tests/run does that");
        let mut out = BufReader::new(driver.stdout.take().unwrap());
        let mut all = String::new();
        let port: u16 = loop {
            assert_ne!(out.read_line(&mut all).unwrap(), 0, "chromedriver ended:\n{all}");
            if let Some((_, rest)) = all.split_once("started successfully on port ") {
                break rest.trim().trim_end_matches('.').parse().unwrap();
            }
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=zh-CN",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let options = json!({ "args": arguments, "prefs": { "intl.accept_languages": "zh-CN" } });
        let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let browser = Browser { driver, _out: out, client };
        browser.size(DESKTOP).await;
        browser
    }

    async fn size(&self, (width, height): (u32, u32)) {
        self.client.set_window_size(width, height).await.unwrap();
    }

    async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Looks until the page shows what is asked for. Pages renew themselves, so an element may go between finding and
    /// using it: everything that touches one is a single look, and a look that fails is repeated.
    async fn until<T>(&self, what: &str, look: impl AsyncFn(&Client) -> Result<Option<T>, CmdError>) -> T {
        let mut last = String::new();
        for _ in 0..LOOKS_MAX {
            match look(&self.client).await {
                Ok(Some(seen)) => return seen,
                Ok(None) => {}
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let page = self.client.source().await.unwrap();
        panic!("{what}: never on {} ({last}):\n{page}", self.url().await);
    }

    async fn wait(&self, css: &str) {
        self.until(css, async |client| client.find(Locator::Css(css)).await.map(Some)).await;
    }

    /// Waits until the element says it.
    async fn says(&self, css: &str, text: &str) {
        let look = async |client: &Client| {
            let found = client.find(Locator::Css(css)).await?.text().await?;
            Ok(found.contains(text).then_some(()))
        };
        self.until(&format!("{css} saying {text}"), look).await;
    }

    async fn attribute(&self, css: &str, name: &str) -> String {
        self.until(css, async |client| client.find(Locator::Css(css)).await?.attr(name).await).await
    }

    /// Waits until the address has this part, and tells it.
    async fn arrives(&self, part: &str) -> String {
        let look = async |client: &Client| {
            let url = client.current_url().await?.to_string();
            Ok(url.contains(part).then_some(url))
        };
        self.until(&format!("an address with {part}"), look).await
    }

    async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    async fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// What the customer has in the hand.
#[derive(Clone, Copy, PartialEq)]
enum Hand {
    Mouse,
    Keyboard,
}

impl Hand {
    async fn press(self, browser: &Browser, css: &str) {
        match self {
            Hand::Mouse => {
                let click = async |client: &Client| client.find(Locator::Css(css)).await?.click().await.map(Some);
                browser.until(css, click).await;
            }
            Hand::Keyboard => {
                browser.wait(css).await;
                tab_to(browser, css).await;
                type_there(browser, &String::from(char::from(Key::Enter))).await;
            }
        }
    }

    async fn fill(self, browser: &Browser, css: &str, text: &str) {
        browser.wait(css).await;
        match self {
            Hand::Mouse => browser.client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap(),
            Hand::Keyboard => {
                tab_to(browser, css).await;
                type_there(browser, text).await;
            }
        }
    }
}

async fn type_there(browser: &Browser, text: &str) {
    browser.client.active_element().await.unwrap().send_keys(text).await.unwrap();
}

/// Moves the focus forward until it is there, as somebody without a mouse does, and sees where it is.
async fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..TABS_MAX {
        let script = "const e = document.activeElement; return [e.matches(arguments[0]), e === document.body || \
                      getComputedStyle(e).outlineStyle !== 'none' || getComputedStyle(e).boxShadow !== 'none']";
        let seen = browser.client.execute(script, vec![json!(css)]).await.unwrap();
        assert_eq!(seen[1], true, "the focus can be seen on the way to {css}");
        if seen[0] == true {
            return;
        }
        type_there(browser, &String::from(char::from(Key::Tab))).await;
    }
    panic!("{css} cannot be reached with the keyboard on {}", browser.url().await);
}

/// The addresses that a purchase led to.
struct Walked {
    phone: String,
    order: String,
    payment: String,
    cashier: String,
}

/// From the shop to the refund.
async fn walk(browser: &Browser, demo: &Demo, hand: Hand) -> Walked {
    browser.go(demo.told("shop_url")).await;
    hand.press(browser, "form.buy button").await;
    hand.press(browser, "button[name=method][value=wechat_native]").await;
    let to_phone = "a[href*='/sandbox/wallet/pay/']";
    let phone = browser.attribute(to_phone, "href").await;
    let cashier = browser.url().await.split('?').next().unwrap().to_owned();

    let here = browser.client.window().await.unwrap();
    let other = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(other).await.unwrap();
    browser.go(&phone).await;
    hand.press(browser, "button[name=do][value=pay]").await;
    browser.says("h1", "支付成功").await;
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(here).await.unwrap();

    // The cashier has noticed by itself, and leads back by itself.
    let order = browser.arrives("/shop/orders/").await;
    browser.says(".outcome h1", "已付款，谢谢！").await;

    browser.go(demo.told("console_url")).await;
    hand.fill(browser, "#login", demo.told("console_user")).await;
    hand.fill(browser, "#password", demo.told("console_password")).await;
    hand.press(browser, "form .btn.primary").await;
    browser.wait("#code").await;
    let authenticator = TotpSecret::parse_base32(demo.told("totp_secret")).unwrap();
    hand.fill(browser, "#code", &authenticator.code_at(step_at(Env::system().now()))).await;
    hand.press(browser, "form .btn.primary").await;
    browser.wait(".rooms").await;
    hand.press(browser, "a[href='/console/payments']").await;
    hand.press(browser, "main .table tbody tr:first-child .row-link").await;
    browser.wait("main a[href$='/refund']").await;
    let payment = browser.url().await.split('?').next().unwrap().to_owned();
    hand.press(browser, "main a[href$='/refund']").await;
    hand.fill(browser, "#again", "59.00").await;
    hand.press(browser, "main .btn.danger.primary").await;
    browser.wait(".timeline").await;
    assert!(browser.url().await.starts_with(&payment));

    // The shop has heard of it. Its page of a paid order stands still, so it is opened again.
    let heard = async |client: &Client| {
        client.goto(&order).await?;
        let said = client.find(Locator::Css(".outcome h1")).await?.text().await?;
        Ok((said == "已全额退款").then_some(()))
    };
    browser.until("the shop hearing of the refund", heard).await;
    Walked { phone, order, payment, cashier }
}

fn profile(folder: &Folder) -> PathBuf {
    folder.path("chromium")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mug_is_bought_and_refunded_with_the_mouse_and_the_pages_are_pictured() {
    let (folder, own) = (Folder::new(), Folder::new());
    let demo = Demo::start(&folder);
    let browser = Browser::open(&profile(&own)).await;
    let walked = walk(&browser, &demo, Hand::Mouse).await;

    // A second order that is not paid yet, for the pages that wait.
    browser.go(demo.told("shop_url")).await;
    Hand::Mouse.press(&browser, "form.buy button").await;
    browser.wait("form.ways").await;
    let choosing = browser.url().await;
    let base = demo.told("base_url");
    let pages = [
        ("start", format!("{base}/")),
        ("shop", demo.told("shop_url").to_owned()),
        ("shop-order", walked.order),
        ("cashier-choose", choosing),
        ("cashier-paid", walked.cashier),
        ("phone-paid", walked.phone),
        ("console-home", demo.told("console_url").to_owned()),
        ("console-payments", format!("{base}/console/payments")),
        ("console-payment", walked.payment),
        ("console-refunds", format!("{base}/console/refunds")),
        ("console-callbacks", format!("{base}/console/callbacks")),
        ("console-ledger", format!("{base}/console/ledger")),
        ("docs", demo.told("docs_url").to_owned()),
    ];
    for (device, size) in [("desktop", DESKTOP), ("phone", PHONE)] {
        browser.size(size).await;
        for theme in ["light", "dark"] {
            for lang in ["zh-CN", "en"] {
                for (name, url) in &pages {
                    browser.go(&format!("{url}?theme={theme}&lang={lang}")).await;
                    browser.wait("main").await;
                    browser.picture(&format!("{name}-{device}-{theme}-{lang}")).await;
                }
            }
        }
    }
    browser.client.clone().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mug_is_bought_and_refunded_with_the_keyboard_alone() {
    let (folder, own) = (Folder::new(), Folder::new());
    let demo = Demo::start(&folder);
    let browser = Browser::open(&profile(&own)).await;
    walk(&browser, &demo, Hand::Keyboard).await;
    browser.client.clone().close().await.unwrap();
}
