//! `coffer demo`: a small shop with a past on this machine, with nothing to configure. Starting it again on the same
//! folder goes on with the same shop.

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use actix_web::web;

use super::config::{Config, Inputs};
use super::failure::{Exit, Failure};
use super::place::{build_store, create_private_dir, master_key, store_file, write_config};
use super::{Teller, Terminal, print, serve};
use crate::app::House;
use crate::callbacks::WebhookSecret;
use crate::crypto::{Secret, Vault};
use crate::demo::SHOP_NAME;
use crate::demo::credentials::{self, Credentials};
use crate::demo::prepare::{self, Plan};
use crate::demo::start::{self, Start};
use crate::env::Env;
use crate::sandbox::shop::{self, Shop, ShopSettings};
use crate::server::{self, ListenError};
use crate::signals::logging;

/// The data folder of a demo, where nothing else is said.
pub(super) const DATA_DIR: &str = "coffer-demo";

/// The longest past that is told, in days.
const HISTORY_DAYS_MAX: i64 = 730;

/// What the demo is run with. Also written into its configuration file, for the other commands.
const SETTINGS: [(&str, &str); 2] = [("callbacks.allow_loopback", "true"), ("callbacks.allow_http", "true")];

/// What `demo` asks.
#[derive(clap::Args)]
pub struct Options {
    /// Address and port to listen on; port 0 takes a free one [default: as the last time, or 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Days of past the shop gets when it is made; 0 for none
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=HISTORY_DAYS_MAX))]
    history: u32,
    /// Do not open the browser
    #[arg(long)]
    no_browser: bool,
}

/// Runs until a signal asks to stop.
pub fn run(mut inputs: Inputs, options: &Options) -> Result<(), Failure> {
    let folder = inputs.data_dir(DATA_DIR);
    inputs.data_dir = Some(folder.clone());
    let known = open_folder(&folder)?;
    inputs.overrides.extend(SETTINGS.map(|(key, value)| (key, value.to_owned())));
    if !inputs.environment.contains_key("COFFER_LOG_LEVEL") {
        inputs.overrides.push(("log.level", "warn".to_owned()));
    }
    let wanted = options.listen.or_else(|| known.as_ref().and_then(|known| address_of(&known.base_url)));
    inputs.overrides.extend(wanted.map(|address| ("server.listen", address.to_string())));
    let mut config = inputs.load()?.config;
    logging::install(config.log.format, &config.log.level);
    let listener = bind(config.server.listen, options.listen.is_some())?;
    config.server.listen = listener.local_addr().map_err(|error| Failure::of(Exit::Failed, &error))?;
    let base_url = config.base_url().to_string().trim_end_matches('/').to_owned();
    let given = match known {
        Some(known) if store_file(&config).exists() => known,
        Some(_) | None => prepare(&config, &base_url, options.history)?,
    };
    serve::run_on(config, listener, |config, house| {
        prepare::move_shop(&house.gateway.store, &base_url).map_err(|error| Failure::of(Exit::Failed, &error))?;
        let given = given.at(&base_url);
        given.write(&config.data_dir).map_err(|error| writing(&error))?;
        print(&told(&given, &config.data_dir));
        if !options.no_browser {
            open_browser(&given.base_url);
        }
        let mugs = mug_shop(house, &given)?;
        let page = Start::new(given, house.gateway.env.clone()).ok_or_else(|| {
            Failure::new(Exit::Failed, "totp_secret in demo.json was changed; remove the folder to begin anew")
        })?;
        let page = web::Data::new(page);
        Ok(Arc::new(move |routes: &mut web::ServiceConfig| {
            start::routes(page.clone(), routes);
            shop::routes(&mugs, routes);
        }))
    })
}

/// Makes the folder, or reads who lives in it. A folder that is not a demo's is left alone.
fn open_folder(folder: &Path) -> Result<Option<Credentials>, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::Failed, &error);
    let empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error).during(&format!("reading the folder {} failed", folder.display()))),
    };
    if !empty && !credentials::is_marked(folder) {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} holds other data than a demo's and is left alone; name an empty or new folder with --data",
                folder.display()
            ),
        ));
    }
    create_private_dir(folder)?;
    let known = Credentials::read(folder).map_err(|error| {
        failed(error).during(&format!(
            "{} cannot be read; put it back, or remove the folder to begin anew",
            folder.join(credentials::FILE).display()
        ))
    })?;
    if known.is_none() {
        credentials::mark(folder).map_err(|error| writing(&error))?;
    }
    Ok(known)
}

fn writing(error: &std::io::Error) -> Failure {
    Failure::of(Exit::Failed, error).during("writing demo.json failed")
}

fn address_of(base_url: &str) -> Option<SocketAddr> {
    base_url.strip_prefix("http://")?.parse().ok()
}

/// A port that nobody asked for by name and that is taken makes way for a free one.
fn bind(wanted: SocketAddr, named: bool) -> Result<TcpListener, Failure> {
    match server::bind(wanted) {
        Err(ListenError::InUse { address }) if !named => {
            print(&format!("Another program listens on {address}; taking a free port instead.\n"));
            server::bind(SocketAddr::new(wanted.ip(), 0))
        }
        bound => bound,
    }
    .map_err(|error| Failure::of(Exit::Failed, &error))
}

/// Makes the shop. What is there afterwards is all there.
fn prepare(config: &Config, base_url: &str, history_days: u32) -> Result<Credentials, Failure> {
    let settings = SETTINGS.map(|(key, value)| (key, value.to_owned()));
    write_config(&config.data_dir, &settings)?;
    let env = Env::system();
    let vault = Arc::new(Vault::new(&master_key(config, &env)?.0));
    let simulators = config.sandbox.simulators;
    let plan = Plan { env: &env, vault: &vault, base_url, history_days, simulators };
    let mut terminal = Terminal::default();
    build_store(config, |store| {
        let filled = prepare::fill(store, &plan, &mut |work, done, total| terminal.progress(work.label(), done, total));
        let shop = filled.map_err(|error| Failure::of(Exit::Failed, &error))?;
        shop.write(&config.data_dir).map_err(|error| writing(&error))?;
        Ok(shop)
    })
}

/// The shop as a customer of the API: it has its key and its secret, and nothing else of the house.
fn mug_shop(house: &House, given: &Credentials) -> Result<Shop, Failure> {
    let gateway = &house.gateway;
    let secret = WebhookSecret::parse(&given.callback_secret).map_err(|error| {
        Failure::of(Exit::Failed, &error)
            .during("callback_secret in demo.json was changed; remove the folder to begin anew")
    })?;
    let settings = ShopSettings {
        name: SHOP_NAME.to_owned(),
        shop_url: given.base_url.clone(),
        callback_base: None,
        gateway_url: given.base_url.clone(),
        api_url: gateway.settings.own_url.clone(),
        api_key: Secret::new(given.api_key.as_str()),
        callback_secret: secret,
        policy: gateway.settings.sandbox.clone(),
    };
    Ok(Shop::open(gateway.store.clone(), gateway.env.clone(), gateway.transport.clone(), settings))
}

/// What a person needs to look around.
fn told(shop: &Credentials, folder: &Path) -> String {
    format!(
        "
The demo is running. It listens on this machine only; Ctrl-C stops it, and starting it again goes on.

  Start here            {}
  Shop                  {}
  Console               {}
    user                {}
    password            {}
    authenticator       {}
  API                   {}
    key                 {}
    signing key         {}
    its secret          {}
  Callback secret       {}

The same for scripts: {}
",
        shop.base_url,
        shop.shop_url,
        shop.console_url,
        shop.console_user,
        shop.console_password,
        shop.totp_secret,
        shop.docs_url,
        shop.api_key,
        shop.signing_key_id,
        shop.signing_secret,
        shop.callback_secret,
        folder.join(credentials::FILE).display(),
    )
}

/// Best effort: whoever has no browser here reads the address.
fn open_browser(url: &str) {
    let headless = cfg!(all(unix, not(target_os = "macos")))
        && std::env::var_os("DISPLAY").is_none()
        && std::env::var_os("WAYLAND_DISPLAY").is_none();
    if headless || !std::io::stdout().is_terminal() {
        return;
    }
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let quiet = Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = quiet {
        tracing::info!(%error, "the browser could not be opened");
    }
}
