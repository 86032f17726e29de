//! The page that the customer pays on: what it shows is what is stored, whoever says something else.

mod faces;
mod live;
mod places;
pub mod shop;
mod town;
mod trust;
mod wechat;
