//! Where files stand, and where their next contents are written before they take their place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder that a file stands in: of a bare name the working folder, which [`Path::parent`] calls an empty path.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the next contents of a file are written, beside it: no name that a user would choose for another file.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".part");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_name_stands_in_the_working_folder() {
        for (path, folder) in [("x.crl", "."), ("./x.crl", "."), ("a/x.crl", "a"), ("/x.crl", "/"), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
        for (path, part) in [("x.crl", "x.crl.part"), ("a/x", "a/x.part"), ("/a/b.c.d", "/a/b.c.d.part")] {
            assert_eq!(part_of(Path::new(path)), Path::new(part), "{path}");
        }
    }
}
