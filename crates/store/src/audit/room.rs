//! Room on the disk that nobody else can take.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

/// Whether the file system has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// The blocks belong to the file now, beyond its end: nobody else can take them.
    Kept,
    /// There is room, but this file system can't keep it.
    Seen,
    /// There is none.
    Full,
}

/// Keeps room for the octets from `end` up to `to`. Refuses when less than `free_octets_min` would be left for others.
pub(super) fn keep(file: &File, end: u64, to: u64, free_octets_min: u64) -> io::Result<Room> {
    let room = fstatvfs(file)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < to.saturating_sub(end).saturating_add(free_octets_min) {
        return Ok(Room::Full);
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, end, to.saturating_sub(end).max(1)) {
        Ok(()) => Ok(Room::Kept),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(Room::Seen),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(Room::Full),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error of a write says that no room is left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero
    )
}
