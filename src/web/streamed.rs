//! A body that is made while it is sent.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::mpsc;

/// Sends what comes through the channel; an error breaks the connection off, so that a part is never taken for the whole.
pub struct Streamed<E>(pub mpsc::Receiver<Result<Bytes, E>>);

impl<E: Into<Box<dyn Error>> + Unpin> MessageBody for Streamed<E> {
    type Error = E;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> {
        self.0.poll_recv(context)
    }
}
