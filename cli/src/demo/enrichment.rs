//! A package is seen before it is registered, then registered, seen twice, and asked about.

use millstream_handlers::enrichment::PACKAGE_NOT_REGISTERED;
use millstream_pipeline::events::Topic;
use millstream_schemas::package_location_updates::LocationUpdate;
use millstream_schemas::package_queries::{GetPackageInfo, PackageInfo};
use millstream_schemas::package_registrations::{PackageRegistered, RegisterPackage};
use millstream_topics::{PackageLocationUpdates, PackageQueries, PackageRegistrations};

use super::Run;

const SIGHTINGS: [(&str, &str); 2] = [
    ("2024-10-10 13:00", "Pinetree Road 5, Paris"),
    ("2024-10-10 14:00", "Mountain Road 155, Brussels"),
];

fn sighting((timestamp, location): (&str, &str)) -> LocationUpdate {
    LocationUpdate {
        timestamp: timestamp.into(),
        location: location.into(),
    }
}

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let package = run.key("package1");
    let meta = run.meta();
    run.send::<PackageLocationUpdates>(&package, sighting(SIGHTINGS[0]), &meta)
        .await?;
    let letter = run
        .dead_letter(PackageLocationUpdates::DECLARATION.name, &package)
        .await?;
    run.expect(
        "the reason of the dead letter",
        letter.header("__connect.errors.exception.class.name"),
        Some(PACKAGE_NOT_REGISTERED),
    );

    let registration = RegisterPackage {
        final_destination: "Bridge 6, Amsterdam".into(),
    };
    run.request::<PackageRegistrations, PackageRegistered>(&package, registration)
        .await?;
    for seen in SIGHTINGS {
        let meta = run.meta();
        run.send::<PackageLocationUpdates>(&package, sighting(seen), &meta)
            .await?;
    }
    // Topics have no order between them: ask until both sightings have arrived.
    let info = loop {
        let info: PackageInfo = run
            .request::<PackageQueries, _>(&package, GetPackageInfo {})
            .await?;
        if info.locations.len() >= SIGHTINGS.len() {
            break info;
        }
    };
    run.expect(
        "the destination",
        info.final_destination.as_str(),
        "Bridge 6, Amsterdam",
    );
    let locations: Vec<_> = info
        .locations
        .iter()
        .map(|seen| (seen.timestamp.as_str(), seen.location.as_str()))
        .collect();
    run.expect("the sightings, in order", locations, SIGHTINGS.to_vec());
    Ok(())
}
