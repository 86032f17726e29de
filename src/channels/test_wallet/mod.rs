//! The simulated provider's adapter.

use std::sync::Arc;

use super::{Channel, ChannelError};

/// Opens the adapter with an account's credentials; `base_url` is where the provider listens.
pub fn open(_credentials: &[u8], _base_url: &str) -> Result<Arc<dyn Channel>, ChannelError> {
    Err(ChannelError::Unsupported)
}
