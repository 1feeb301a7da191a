//! Small file systems of their own, in a mount namespace that ends with whoever holds it, however that ends.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::server::{Launch, run};
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
    /// Mounts a tmpfs of so many KiB on a new folder of this name below `folder`. `None`: this user may not mount
    /// anything, and was told so.
    pub(crate) async fn mount(folder: &Path, name: &str, kib: u64) -> Option<Self> {
        // It ends when its input does: with this process.
        let script = format!(
            "set -e; mkdir {name}; mount -t tmpfs -o size={kib}k,mode=0700 tmpfs {name}; echo mounted; exec cat"
        );
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

    /// Mounts one more, on a folder that is there, and puts what is in the folder onto it.
    pub(crate) async fn move_onto_its_own(&self, name: &str, kib: u64) {
        let folder = self.folder.join(name);
        let script = format!(
            "set -e; mkdir ../moved; cp -a . ../moved; mount -t tmpfs -o size={kib}k,mode=0700 tmpfs $PWD; \
             cp -a ../moved/. $PWD; rm -r ../moved"
        );
        let Launch { inside, .. } = self.launch();
        let mut command = Command::new(&inside[0]);
        command.args(&inside[1..]).args(["sh", "-c", "cd \"$0\" && eval \"$1\""]).arg(folder).arg(script);
        let moved = run(&mut command).await;
        assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
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
    /// Fills the file system of this folder up.
    pub(crate) fn fill(folder: &Path) -> Self {
        let filler = Self(folder.join("filler"));
        let file = fs::OpenOptions::new().create(true).append(true).open(&filler.0);
        let mut file = file.expect("a file can be made on a disk that is not full yet");
        let zeros = vec![0; STEP];
        let mut step = STEP;
        while step > 0 {
            match file.write(&zeros[..step]) {
                Ok(0) | Err(_) => step /= 2,
                Ok(_) => {}
            }
        }
        filler
    }

    /// Takes what others have given back since.
    pub(crate) fn again(self) -> Self {
        let folder = self.0.parent().expect("it is in a folder").to_owned();
        std::mem::forget(self);
        Self::fill(&folder)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // The disk may be gone already.
        let _gone = fs::remove_file(&self.0);
    }
}
