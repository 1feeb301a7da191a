//! The cases: each says one sentence of the design, and holds on every back end.

mod accounts;
mod addresses;
mod blocked_keys;
mod caa;
mod challenges;
mod clock;
mod crashes;
mod crl_generations;
mod crls;
mod ct_logs;
mod cut_short;
mod deadlines;
mod delivery;
mod during_issuance;
mod external_accounts;
mod fences;
mod finalize;
mod lost_workbench;
mod ocsp;
mod ocsp_signer;
mod order_lists;
mod recovery;
mod renewal;
mod replaces;
mod responders;
mod restoration;
mod reuse;
mod revocation;
mod revoked_together;
mod shares;
mod steps;
mod stops;
mod sweep;
mod terms;
mod validity;
mod workers;

/// Makes two tests of each case: one in memory, one on SQLite.
macro_rules! on_all_back_ends {
    ($($case:ident)+) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(crate::world::Backend::Memory).await;
                }
            )+
        }

        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(crate::world::Backend::Sqlite).await;
                }
            )+
        }
    };
}
pub(crate) use on_all_back_ends;
