//! What a power cut leaves: the state of a folder, from what it was and the journal of what was done to it since.
//!
//! What a sync covered is there. Of what was not synced nothing is there, or anything: single writes, parts of them, in
//! any order. A new file, a new name and a removal are there when their folder was synced.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::support::world::Chance;

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// SQLite makes it anew: it is memory that processes share, and never synced.
const SHARED_MEMORY: &str = "-shm";
const WORD: usize = 8;
const HEAD: usize = 5 * WORD;

/// What happens to what was not synced.
#[derive(Debug)]
pub(crate) enum Unsynced<'a> {
    /// It is lost.
    Lost,
    /// Each piece is lost or not, as chance will have it.
    Torn(&'a mut Chance),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Number(usize);

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug)]
enum Move {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Move {
    fn folder(&self) -> &Path {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Rename(path, _)) = self;
        path.parent().unwrap_or(path)
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Add(path, node) => drop(tree.insert(path.clone(), *node)),
            Self::Remove(path) => drop(tree.remove(path)),
            Self::Rename(from, to) => {
                if let Some(node) = tree.remove(from) {
                    tree.insert(to.clone(), node);
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(Number),
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// What was not synced yet, in its order.
    pending: Vec<Change>,
    /// How much of it was made durable.
    synced: usize,
}

impl File {
    fn sync(&mut self, up_to: usize) {
        let count = up_to.saturating_sub(self.synced);
        for change in self.pending.drain(..count) {
            change.apply(&mut self.durable);
        }
        self.synced += count;
    }

    fn left(&self, unsynced: &mut Unsynced<'_>) -> Vec<u8> {
        let mut left = self.durable.clone();
        if let Unsynced::Torn(chance) = unsynced {
            // Of one file nothing, of another all but a few.
            let rate = 1 + chance.next() % 4;
            for change in &self.pending {
                if chance.next() % 4 < rate {
                    change.torn(chance).iter().for_each(|change| change.apply(&mut left));
                }
            }
        }
        left
    }
}

impl Change {
    fn apply(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let end = offset + data.len();
                octets.resize(octets.len().max(end), 0);
                octets[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => octets.resize(*length, 0),
        }
    }

    /// All of it, or some of its sectors.
    fn torn(&self, chance: &mut Chance) -> Vec<Self> {
        match self {
            Self::Write { offset, data } if data.len() > SECTOR && once_in(chance, 2) => {
                let mut parts = Vec::new();
                let (mut at, mut rest) = (*offset, data.as_slice());
                while !rest.is_empty() {
                    let (part, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                    if !once_in(chance, 4) {
                        parts.push(Self::Write { offset: at, data: part.to_vec() });
                    }
                    (at, rest) = (at + part.len(), behind);
                }
                parts
            }
            Self::Write { .. } | Self::Length(_) => vec![self.clone()],
        }
    }
}

/// A folder on a disk that forgets what was not synced.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// What its users see.
    live: Tree,
    durable: Tree,
    moves: Vec<Move>,
    inodes: HashMap<u64, (PathBuf, Node)>,
    /// Syncs that have begun: what they cover.
    syncs: HashMap<u64, Covered>,
}

#[derive(Clone, Debug)]
enum Covered {
    File(Number, usize),
    /// So many moves were made, of this folder and others.
    Folder(PathBuf, usize),
}

impl Disk {
    /// A folder of which all is on disk, if it is there at all.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        disk.read(root);
        disk.durable = disk.live.clone();
        disk
    }

    fn read(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        self.live.insert(folder.to_owned(), Node::Folder);
        for entry in entries {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                self.read(&path);
            } else if path.is_file() {
                let durable = fs::read(&path).expect("a file can be read");
                let node = self.file(File { durable, ..File::default() });
                self.live.insert(path, node);
            }
        }
    }

    fn file(&mut self, file: File) -> Node {
        self.files.push(file);
        Node::File(Number(self.files.len() - 1))
    }

    /// What was done to it since. A last record that was being written is none.
    pub(crate) fn replay(&mut self, journal: &Path) {
        let journal = fs::read(journal).expect("the journal can be read");
        let mut rest = journal.as_slice();
        while rest.len() >= HEAD {
            let word = |at: usize| u64::from_ne_bytes(rest[at * WORD..(at + 1) * WORD].try_into().expect("8 octets"));
            let length = |at| usize::try_from(word(at)).expect("lengths fit");
            let (kind, a, b, path, data) = (word(0), word(1), word(2), length(3), length(4));
            if rest.len() < HEAD + path + data {
                return;
            }
            let kind = u8::try_from(kind).expect("a kind is a letter");
            let (path, data) = (&rest[HEAD..HEAD + path], &rest[HEAD + path..HEAD + path + data]);
            self.record(kind, a, b, &as_path(path), data);
            rest = &rest[HEAD + path.len() + data.len()..];
        }
    }

    fn record(&mut self, kind: u8, a: u64, b: u64, path: &Path, data: &[u8]) {
        match kind {
            b'C' => {
                let node = self.file(File::default());
                self.add(a, path, node);
            }
            b'D' => self.add(a, path, Node::Folder),
            b'O' => {
                let node = *self.live.get(path).unwrap_or_else(|| panic!("{} is known", path.display()));
                self.inodes.insert(a, (path.to_owned(), node));
            }
            b'W' => self.change(a, Change::Write { offset: number(b), data: data.to_vec() }),
            b'T' => self.change(a, Change::Length(number(b))),
            b'R' => self.go(Move::Rename(path.to_owned(), as_path(data))),
            b'L' => {
                let node = self.live[path];
                self.go(Move::Add(as_path(data), node));
            }
            b'U' => self.go(Move::Remove(path.to_owned())),
            b'B' => {
                let covered = match &self.inodes[&a] {
                    (_, Node::File(file)) => {
                        let state = &self.files[file.0];
                        Covered::File(*file, state.synced + state.pending.len())
                    }
                    (path, Node::Folder) => Covered::Folder(path.clone(), self.moves.len()),
                };
                self.syncs.insert(b, covered);
            }
            b'E' => match self.syncs.remove(&b).expect("what ends has begun") {
                Covered::File(file, up_to) => self.files[file.0].sync(up_to),
                Covered::Folder(folder, up_to) => self.sync_folder(&folder, up_to),
            },
            other => panic!("no record begins with {other}"),
        }
    }

    fn add(&mut self, inode: u64, path: &Path, node: Node) {
        self.inodes.insert(inode, (path.to_owned(), node));
        // Whether the folder itself is there is not up to whoever uses it.
        if path == self.root {
            self.live.insert(path.to_owned(), node);
            self.durable.insert(path.to_owned(), node);
            return;
        }
        self.go(Move::Add(path.to_owned(), node));
    }

    fn go(&mut self, step: Move) {
        step.apply(&mut self.live);
        self.moves.push(step);
    }

    fn change(&mut self, inode: u64, change: Change) {
        match self.inodes[&inode] {
            (_, Node::File(file)) => self.files[file.0].pending.push(change),
            (ref path, Node::Folder) => panic!("{} is a folder", path.display()),
        }
    }

    fn sync_folder(&mut self, folder: &Path, up_to: usize) {
        for step in self.moves[..up_to].iter().filter(|step| step.folder() == folder) {
            step.apply(&mut self.durable);
        }
        // What was made durable stays in the list, so that its places mean the same, but does nothing any more.
        let done = Move::Remove(PathBuf::new());
        for step in self.moves[..up_to].iter_mut().filter(|step| step.folder() == folder) {
            *step = done.clone();
        }
    }

    /// How many writes to files of these names were not synced.
    pub(crate) fn unsynced(&self, of: impl Fn(&str) -> bool) -> usize {
        let pending = self.live.iter().filter_map(|(path, node)| match node {
            Node::File(file) if of(&path.to_string_lossy()) => Some(self.files[file.0].pending.len()),
            Node::File(_) | Node::Folder => None,
        });
        pending.sum()
    }

    /// A sync of this file failed: from this octet on its users see what they wrote, the disk never got it, and the
    /// system does not know that.
    pub(crate) fn never_got(&mut self, path: &Path, from: usize) {
        match self.live[path] {
            Node::File(file) => self.files[file.0].durable.truncate(from),
            Node::Folder => panic!("{} is a folder", path.display()),
        }
    }

    /// The power is cut: the folder is made anew, with what is left.
    pub(crate) fn cut(&self, mut unsynced: Unsynced<'_>) {
        let mut tree = self.durable.clone();
        if let Unsynced::Torn(chance) = &mut unsynced {
            for step in &self.moves {
                // What a file system writes down of names it writes down in their order.
                if once_in(chance, 8) {
                    break;
                }
                step.apply(&mut tree);
            }
        }
        fs::remove_dir_all(&self.root).expect("a folder can be removed");
        for (path, node) in &tree {
            let reachable = path == &self.root || path.parent().is_some_and(|folder| tree.contains_key(folder));
            if !reachable {
                continue;
            }
            match node {
                Node::Folder => {
                    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).expect("a folder can be made");
                }
                Node::File(_) if path.to_string_lossy().ends_with(SHARED_MEMORY) => {}
                Node::File(file) => write(path, &self.files[file.0].left(&mut unsynced)),
            }
        }
    }
}

fn write(path: &Path, octets: &[u8]) {
    use std::io::Write;

    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.expect("a file can be made").write_all(octets).expect("a file can be written");
}

fn number(word: u64) -> usize {
    usize::try_from(word).expect("files are small")
}

fn as_path(octets: &[u8]) -> PathBuf {
    PathBuf::from(std::str::from_utf8(octets).expect("temporary folders have plain names"))
}

fn once_in(chance: &mut Chance, times: u64) -> bool {
    chance.next().is_multiple_of(times)
}
