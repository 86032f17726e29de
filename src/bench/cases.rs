//! What is measured, one function for each kind of load.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::lifecycle::{self, Channel, Payer};
use super::load::{self, Outcome, Script};
use super::meter::{self, Part};
use super::pages::Pages;
use super::provider::Provider;
use super::report::Report;
use super::scripts::{Create, Empty, Read, SignedCreate};
use super::serving::Serving;
use super::site::{self, Site};
use super::{BenchError, Plan, baseline, callbacks, notices, own};
use crate::cli::config::Config;
use crate::flows::{FlowError, Moment, payments};

/// People who look at pages at once.
const PEOPLE: usize = 2;

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Create,
    CreateSigned,
    CreateFlow,
    Read,
    Pages,
    Lifecycle,
    Notifications,
    Callbacks,
}

impl Case {
    pub const ALL: [Case; 8] = [
        Case::Create,
        Case::CreateSigned,
        Case::CreateFlow,
        Case::Read,
        Case::Pages,
        Case::Lifecycle,
        Case::Notifications,
        Case::Callbacks,
    ];

    /// As it is named on the command line; its rows begin with it.
    pub const fn name(self) -> &'static str {
        match self {
            Case::Create => "create",
            Case::CreateSigned => "create_signed",
            Case::CreateFlow => "create_flow",
            Case::Read => "read",
            Case::Pages => "pages",
            Case::Lifecycle => "lifecycle",
            Case::Notifications => "notifications",
            Case::Callbacks => "callbacks",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }
}

/// Everything that is measured on the running servers.
pub struct Measuring<'a> {
    plan: &'a Plan,
    site: &'a Site,
    gateway: Serving,
    empty: Serving,
    pages: Option<Arc<Pages>>,
    payer: Payer,
    /// Order numbers are never used twice.
    orders: Arc<AtomicU64>,
}

impl<'a> Measuring<'a> {
    pub fn start(plan: &'a Plan, site: &'a Site, config: &Config, listener: TcpListener) -> Result<Self, BenchError> {
        let gateway = Serving::gateway(config, listener, &site.house)?;
        let empty = Serving::empty(&config.server)?;
        let pages = plan.cases.contains(&Case::Pages).then(|| Pages::new(site).map(Arc::new)).transpose()?;
        let payer = match plan.channel {
            Channel::TestWallet => Payer::TestWallet(site.house.wallet.clone()),
            Channel::WechatPay => Payer::WechatPay(Provider::open(site)?),
        };
        Ok(Self { plan, site, gateway, empty, pages, payer, orders: Arc::default() })
    }

    /// Everything once.
    pub fn round(&self, round: u32, folder: &std::path::Path, report: &mut Report) -> Result<(), BenchError> {
        let time = self.plan.time;
        let empty = self.load(self.empty.address, Arc::new(Empty))?;
        report.add("empty", empty.per_second());
        report.add("empty_cpu", empty.each(empty.cpu.server()));
        report.add("commit", baseline::commits(folder, round, time / 4)?.quantile(500) as f64);
        report.add("rsa_sign", baseline::rsa_signature(time / 4));
        if let Some(fresh) = &self.plan.fresh {
            let server = own::start(&self.plan.executable, &fresh.folder, true)?;
            let create = Create::new(&fresh.bearer, self.orders.clone());
            report.add("create_fresh", self.load(server.address, Arc::new(create))?.per_second());
        }
        for case in &self.plan.cases {
            match case {
                Case::Create => {
                    let create = Create::new(&self.site.bearer, self.orders.clone());
                    let outcome = self.load(self.gateway.address, Arc::new(create))?;
                    report.add("create", outcome.per_second());
                    if self.plan.fresh.is_some() {
                        report.add("create_filled", outcome.per_second());
                    }
                    report.add("create_p50", outcome.latency.quantile(500) as f64 / 1000.0);
                    report.add("create_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("create_cpu", outcome.each(outcome.cpu.server()));
                    report.add("create_cpu_writer", outcome.each(outcome.cpu.of(Part::Writer)));
                    report.add("create_cpu_client", outcome.each(outcome.cpu.of(Part::Clients)));
                }
                Case::CreateSigned => {
                    let outcome =
                        self.load(self.gateway.address, Arc::new(SignedCreate::new(self.site, self.orders.clone())))?;
                    report.add("create_signed", outcome.per_second());
                    report.add("create_signed_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("create_signed_cpu", outcome.each(outcome.cpu.server()));
                }
                Case::CreateFlow => {
                    let (outcome, batch) = self.create_flow()?;
                    report.add("create_flow", outcome.per_second());
                    report.add("create_flow_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("create_flow_cpu", outcome.each(outcome.cpu.of(Part::Writer)));
                    report.add("create_flow_batch", batch);
                }
                Case::Read => {
                    let read = Read::new(&self.site.known, &self.site.bearer);
                    let outcome = self.load(self.gateway.address, Arc::new(read))?;
                    report.add("read", outcome.per_second());
                    report.add("read_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("read_cpu", outcome.each(outcome.cpu.server()));
                }
                Case::Pages => {
                    let Some(pages) = self.pages.clone() else { continue };
                    let outcome = load::run(self.gateway.address, PEOPLE, time, pages)?;
                    report.add("pages_p50", outcome.latency.quantile(500) as f64 / 1000.0);
                    report.add("pages_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("pages_cpu", outcome.each(outcome.cpu.server()));
                }
                Case::Lifecycle => {
                    let (address, shoppers) = (self.gateway.address, self.plan.connections);
                    let payer = self.payer.clone();
                    let outcome = lifecycle::run(self.site, payer, address, shoppers, time, &self.orders)?;
                    report.add("lifecycle", outcome.each(outcome.cpu.server()));
                    report.add("lifecycle_rate", outcome.per_second());
                    report.add("lifecycle_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                }
                Case::Notifications => {
                    // The test wallet's are signed otherwise, and are part of its own lifecycle.
                    let Payer::WechatPay(provider) = &self.payer else { continue };
                    let (address, connections) = (self.gateway.address, self.plan.connections);
                    let outcome = notices::run(self.site, provider, address, connections, &self.orders)?;
                    report.add("notifications", outcome.per_second());
                    report.add("notifications_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("notifications_cpu", outcome.each(outcome.cpu.server()));
                }
                Case::Callbacks => {
                    let outcome = callbacks::run(self.site, time, &self.orders)?;
                    report.add("callbacks", outcome.per_second());
                    report.add("callbacks_p99", outcome.latency.quantile(990) as f64 / 1000.0);
                    report.add("callbacks_cpu", outcome.each(outcome.cpu.server()));
                }
            }
        }
        if let Some((_, most)) = meter::memory("self") {
            report.add("memory_load", most as f64 / 1e6);
        }
        Ok(())
    }

    fn load(&self, address: SocketAddr, script: Arc<dyn Script>) -> Result<Outcome, BenchError> {
        load::run(address, self.plan.connections, self.plan.time, script)
    }

    /// As many callers as there are connections, each creating payments without HTTP.
    fn create_flow(&self) -> Result<(Outcome, f64), BenchError> {
        let (store, env, scope) = (self.site.house.gateway.store.clone(), self.site.env.clone(), self.site.scope);
        let orders = self.orders.clone();
        let before = store.stats();
        let outcome = load::repeat(self.plan.connections, self.plan.time, move || {
            let order = site::order(format!("flow-{}", orders.fetch_add(1, Relaxed)));
            let moment = Moment::new(&env);
            let store = store.clone();
            async move {
                let write = move |tx: &mut crate::store::WriteTx<'_>| {
                    payments::create(tx, scope, &order, None, &mut moment.clone())
                };
                store.write(write).await.map(drop).map_err(|error: FlowError| BenchError::from(error))
            }
        })?;
        let after = self.site.house.gateway.store.stats();
        let commits = (after.commits - before.commits).max(1);
        Ok((outcome, (after.writes - before.writes) as f64 / commits as f64))
    }
}
