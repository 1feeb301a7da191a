//! The limits of connections and requests.

use super::file::File;
use super::{ConfigError, number, seconds};
use crate::http::limits::ListenerLimits;

/// Fewer octets don't hold the head of a common request; it is also the least that HTTP/1.1's reader takes.
const HEADER_OCTETS_MIN: u32 = 4096;
/// More would not be a limit.
const HEADER_OCTETS_MAX: u32 = 1024 * 1024;

/// Limits as the file wants them, or the defaults.
pub(super) fn limits(file: &File) -> Result<ListenerLimits, ConfigError> {
    let http = file.http;
    let connections = number(file.limits.connections, 4096);
    let limits = ListenerLimits {
        connections,
        connections_per_address: number(file.limits.connections_per_address, 1024).min(connections),
        handshake_time: seconds(http.handshake_time, 10),
        header_time: seconds(http.header_time, 30),
        body_time: seconds(http.body_time, 10),
        write_time: seconds(http.write_time, 30),
        idle_time: seconds(http.idle_time, 60),
        stop_time: seconds(http.stop_time, 10),
        headers: http.headers.unwrap_or(64).into(),
        header_octets: http.header_octets.unwrap_or(16 * 1024),
        streams: http.streams.unwrap_or(64).into(),
        stream_resets: http.stream_resets.unwrap_or(32).into(),
    };
    for (key, value) in [
        ("limits.connections", limits.connections),
        ("limits.connections-per-address", limits.connections_per_address),
        ("http.headers", limits.headers),
        ("http.streams", limits.streams as usize),
        ("http.stream-resets", limits.stream_resets),
    ] {
        if value == 0 {
            return Err(ConfigError::new(key, "is 0; at least 1 is needed"));
        }
    }
    for (key, value) in [
        ("http.handshake-time", limits.handshake_time),
        ("http.header-time", limits.header_time),
        ("http.body-time", limits.body_time),
        ("http.write-time", limits.write_time),
        ("http.stop-time", limits.stop_time),
    ] {
        if value.is_zero() {
            return Err(ConfigError::new(key, "is 0 s; at least 1 s is needed"));
        }
    }
    if !(HEADER_OCTETS_MIN..=HEADER_OCTETS_MAX).contains(&limits.header_octets) {
        let range = format!("expected {HEADER_OCTETS_MIN} to {HEADER_OCTETS_MAX}");
        return Err(ConfigError::new("http.header-octets", format!("is {}; {range}", limits.header_octets)));
    }
    if limits.idle_time <= limits.body_time {
        return Err(ConfigError::new("http.idle-time", "is not longer than http.body-time"));
    }
    Ok(limits)
}
