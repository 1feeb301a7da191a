//! The store's file below the ports: its pages, its columns against its documents, what hangs on nothing, its counts.

use ca::ports::StoreError;
use store::sqlite::{Mend, Misfit, Table, Wrong};

use super::report::Fault;
use super::{Fsck, Invariant, PAGE, Repair};

impl Fsck<'_> {
    /// Stores without a file have nothing to look at.
    pub(super) async fn file(&mut self) -> Result<(), StoreError> {
        let Some(database) = self.records.database() else { return Ok(()) };
        self.tell("pages of the store", 0, 0);
        // Whether each index has what its table has takes long, and a snapshot that is kept open lets the log grow.
        let lines = database.pages(!self.live).await?;
        for (at, line) in lines.into_iter().enumerate() {
            // What only an index lacks, its table has; one time makes all of them anew.
            let mend = (at == 0 && line.contains("index")).then_some(Repair::Mend(Mend::Indexes));
            let fault = Fault { repair: mend, ..Fault::new(Invariant::StoreSound, line) };
            self.add("cairn.db", vec![fault]);
        }
        for table in Table::ALL {
            let (mut after, mut done) = (0, 0);
            loop {
                let page = database.misfits(table, after, PAGE).await?;
                let Some(last) = page.last else { break };
                (after, done) = (last, done + page.looked_at);
                self.misfits(page.found);
                self.tell(table.name(), done, 0);
            }
        }
        self.tell("counts and references", 0, 0);
        let found = database.totals().await?;
        self.misfits(found);
        Ok(())
    }

    /// A page is read in one snapshot: nothing has to be looked at again.
    fn misfits(&mut self, found: Vec<Misfit>) {
        for Misfit { subject, wrong, detail, mend } in found {
            let mut fault = Fault::new(invariant(wrong), detail);
            fault.repair = mend.map(Repair::Mend);
            self.add(&subject, vec![fault]);
        }
    }
}

const fn invariant(wrong: Wrong) -> Invariant {
    match wrong {
        Wrong::Unreadable => Invariant::RecordsReadable,
        Wrong::Columns => Invariant::ColumnsFollow,
        Wrong::TwoPlaces => Invariant::OnePlace,
        Wrong::Missing | Wrong::Orphan => Invariant::NothingDangles,
        Wrong::Counts => Invariant::CountsFit,
        Wrong::Numbers => Invariant::IssuancesNumbered,
    }
}
