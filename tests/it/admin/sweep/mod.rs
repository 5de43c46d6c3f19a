//! Sweeps over every operation of the document: what belongs to others, what nobody may say, who may not.

mod document;
mod extra;
mod given;
mod idor;
mod timing;
mod world;

#[tokio::test]
async fn no_operation_shows_or_takes_what_is_not_the_callers() {
    let world = world::World::make().await;

    let faults = idor::sweep(&world).await;

    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn no_operation_takes_a_field_its_schema_does_not_have() {
    let world = world::World::make().await;

    let faults = extra::sweep(&world).await;

    assert!(faults.is_empty(), "{faults:#?}");
}
