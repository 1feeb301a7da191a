//! How targets are reached: over this machine's network, or over a simulated one.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection to a target.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Connection for S {}

/// Makes connections to targets. Whoever asks has checked the address, keeps the time, and drops what takes too long.
#[async_trait]
pub trait Network: Send + Sync + fmt::Debug {
    /// Connects over TCP.
    ///
    /// # Errors
    /// What came of the try; its kind is told to the client.
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Connection>>;
}

/// The network of this machine.
#[derive(Debug)]
pub(crate) struct Tcp;

#[async_trait]
impl Network for Tcp {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(TcpStream::connect(address).await?))
    }
}
