//! Connections on which a test sends what it wants, octet by octet.

use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::connection::Door;
use crate::support::world::{PATIENCE, within};

pub(super) const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub(super) struct Wire(Box<dyn Stream>);

impl Wire {
    pub(super) fn over(stream: impl Stream + 'static) -> Self {
        Self(Box::new(stream))
    }

    /// HTTP/1.1.
    pub(super) async fn http1(door: &Door) -> Self {
        Self::over(door.open(LOOPBACK, false).await.expect("the listener takes connections"))
    }

    /// HTTP/2, with these settings (RFC 9113 §6.5.2).
    pub(super) async fn http2(door: &Door, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(door.open(LOOPBACK, true).await.expect("the listener takes connections"));
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        wire.send(PREFACE).await;
        wire.send(&frame(0x4, 0, 0, &settings)).await;
        wire
    }

    /// Sends what the server is there to take.
    pub(super) async fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).await.expect("the server takes what is sent");
    }

    pub(super) async fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.0.write_all(octets).await?;
        self.0.flush().await
    }

    /// Reads until this text came. Answers all that was read.
    pub(super) async fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        within(PATIENCE, text, async {
            while !String::from_utf8_lossy(&read).contains(text) {
                let mut more = [0; 4096];
                let octets = self.0.read(&mut more).await.expect("the connection is open");
                assert!(octets > 0, "the server closed it after {:?}", String::from_utf8_lossy(&read));
                read.extend_from_slice(&more[..octets]);
            }
        })
        .await;
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Waits until the server closes the connection, in order or not. Answers what came before.
    pub(super) async fn closed(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        // A peer that has had enough doesn't say goodbye.
        let _cut_off = within(PATIENCE, "the server closes the connection", self.0.read_to_end(&mut read)).await;
        read
    }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
