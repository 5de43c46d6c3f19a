//! Checkpoints outside the database show what the database no longer knows.

use synaxis::{
    audit::{checkpoint::marks, folder::Folder, store::ends},
    base::Clock,
    store::Whose,
};

use super::Log;
use crate::stack::database::audit_keys;

#[tokio::test]
async fn a_checkpoint_of_every_chain_vouches_for_its_end() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let folder = Folder::at(place.path().to_owned());
    let mut conn = log.postgres.acquire().await.expect("a connection");
    let all = ends(&mut conn).await.expect("ends");

    folder
        .keep(&all, Clock::System.now(), &audit_keys())
        .expect("kept");

    let (checkpoints, faults) = folder.read(&audit_keys()).expect("read");
    assert_eq!(faults, []);
    let vouched = marks(&checkpoints);
    // Nothing was written about the platform.
    assert_eq!(vouched.len(), 2);
    for whose in [log.ours, log.theirs].map(Whose::Organization) {
        let marks = vouched.get(&whose).cloned().expect("marks");
        assert!(log.verify_of(whose, marks).await.is_ok());
    }
}
