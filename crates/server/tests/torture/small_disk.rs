//! Small file systems of their own, in a mount namespace that ends with whoever holds it, however that ends.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::server::Launch;
use crate::support::world::{PATIENCE, within};

/// Written at a time when a disk is filled up.
const STEP: usize = 64 << 10;

/// A mount namespace, and the process that keeps it.
#[derive(Debug)]
pub(crate) struct SmallDisks {
    holder: Child,
    folder: PathBuf,
    root: bool,
}

impl SmallDisks {
    /// Mounts a tmpfs of so many KiB on each of these folders below `folder`, in their order. `None`: this user may not
    /// mount anything, and was told so.
    pub(crate) async fn mount(folder: &Path, disks: &[(&str, u64)]) -> Option<Self> {
        let mut script = "set -e\n".to_owned();
        for (name, kib) in disks {
            script.push_str(&format!("mkdir -p {name}\nmount -t tmpfs -o size={kib}k,mode=0700 tmpfs {name}\n"));
        }
        // It ends when its input does: with this process.
        script.push_str("echo mounted\nexec cat\n");
        let root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
        let mut holder = Command::new("unshare")
            .args(if root { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount"] })
            .args(["sh", "-c", &script])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("unshare, of util-linux, is there");
        let mut line = String::new();
        let mut told = BufReader::new(holder.stdout.take().expect("its output is piped"));
        let read = within(PATIENCE, "the disks are mounted", told.read_line(&mut line)).await;
        if read.is_ok() && line == "mounted\n" {
            return Some(Self { holder, folder: folder.to_owned(), root });
        }
        assert!(!root, "a tmpfs could not be mounted in a mount namespace, as root");
        eprintln!("NOT TESTED: to mount a small disk takes root, or the right to make user namespaces");
        None
    }

    /// How a server is started whose data folder is one of them, or has one in it.
    pub(crate) fn launch(&self) -> Launch {
        let id = self.holder.id().expect("it runs").to_string();
        let words = ["nsenter", "--mount", "--target", &id].into_iter();
        let words =
            words.chain(if self.root { &[][..] } else { &["--user", "--preserve-credentials"] }.iter().copied());
        let inside = words.map(OsString::from).collect();
        Launch { inside, data: Some(self.path("data")), ..Launch::default() }
    }

    /// A path below the folder, as this process reaches it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let id = self.holder.id().expect("it runs");
        let folder = self.folder.strip_prefix("/").expect("temporary folders have absolute names");
        PathBuf::from(format!("/proc/{id}/root")).join(folder).join(name)
    }
}

/// What takes the room of others, until it is dropped.
#[derive(Debug)]
pub(crate) struct Filler(PathBuf);

impl Filler {
    /// Fills the file system of this folder up, but for so many octets.
    pub(crate) fn fill(folder: &Path, but: u64) -> Self {
        let filler = Self(folder.join("filler"));
        let mut file = fs::File::create(&filler.0).expect("a file can be made on a disk that is not full yet");
        let zeros = vec![0; STEP];
        let mut step = STEP;
        while step > 0 {
            match file.write(&zeros[..step]) {
                Ok(0) | Err(_) => step /= 2,
                Ok(_) => {}
            }
        }
        let length = file.metadata().expect("an open file has a length").len();
        file.set_len(length.saturating_sub(but)).expect("a file can be cut");
        filler
    }

    /// Takes what others have given back since.
    pub(crate) fn again(self) -> Self {
        let folder = self.0.parent().expect("it is in a folder").to_owned();
        std::mem::forget(self);
        Self::fill(&folder, 0)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // The disk may be gone already.
        let _gone = fs::remove_file(&self.0);
    }
}
