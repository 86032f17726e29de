//! One test binary; a module per feature.
mod api;
mod browser;
mod cashier;
mod cli;
mod console;
mod demo;
mod flows;
mod fuzzing;
mod outgoing;
mod shop;
mod simulation;
mod still;
mod store;
mod torture;
mod verify;
mod wallet;
mod wechatpay;
