"""Generators/host_sharding.py: a host reads its part only; any number of hosts makes the same batches."""

import fsspec
import helpers
import numpy as np
import pytest

import Generators
from Generators import host_sharding, records
from Utils.command.cli import UserError
from Utils.data.repeat_factors import RepeatFactors
from Utils.images import codec

COUNTS = (40, 1, 60, 33, 0, 26, 40)
TOTAL = sum(COUNTS)  # 200: 4 streams of 50
SIZES = {"num_labels": 5, "image_size": 12, "batch_size": 48, "num_records": COUNTS, "shuffle_buffer": 24}
PLAIN = {"mixup_alpha": 0, "flip": False, "crop": None, "methods": ("area",), "rotation": 0}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Shards whose post ids are 0, 1, 2, ...; noise, so that no two mixtures are alike."""
    folder, paths = tmp_path_factory.mktemp("streams"), []
    for shard, (count, end) in enumerate(zip(COUNTS, np.cumsum(COUNTS).tolist(), strict=True)):
        numbers = range(end - count, end)
        noise = [np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8) for number in numbers]
        jpegs = [codec.encode_jpeg(image) for image in noise]
        paths.append(str(folder / f"{shard}.tfrecord"))
        examples = [
            records.encode(number, data, [number % 5]) for number, data in zip(numbers, jpegs, strict=True)
        ]
        helpers.write_tfrecord(paths[-1], examples)
    return paths


@pytest.fixture(scope="module")
def remote(local):
    """The same in the memory of this process, whose reader is ours."""
    system = fsspec.filesystem("memory")
    paths = [f"memory://streams/{shard}.tfrecord" for shard in range(len(local))]
    for path, remote_path in zip(local, paths, strict=True):
        system.put_file(path, remote_path)
    yield paths
    system.rm("/streams", recursive=True)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(host_sharding, "MIN_RECORDS", 50)
    monkeypatch.setattr(host_sharding, "MIN_ROWS", 12)


def train(paths, count=5, **options):
    """The first batches, each one tuple of arrays."""
    dataset = Generators.train_dataset(paths, **{**SIZES, **options})
    return [flat(element) for element in dataset.take(count)]


def flat(element):
    (first, *others) = element
    first = first if isinstance(first, tuple) else (first,)
    return [part.numpy() for part in (*first, *others)]


def joined(hosts):
    """What several hosts have, as the batches of one."""
    return [[np.concatenate(parts) for parts in zip(*step, strict=True)] for step in zip(*hosts, strict=True)]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def unknown(ids):
    """Some label of every third record; the number of the record decides which."""
    return (ids % 3 == 0)[:, None] & (np.arange(5) == (ids // 3 % 5)[:, None])


@pytest.mark.parametrize(
    ("records", "batch", "count"),
    [(2699, 32, 1), (4095, 64, 1), (4096, 64, 2), (10**7, 96, 2), (10**7, 32, 1), (10**7, 512, 16)]
    + [(10**7, 4096, 64), (10**5, 4096, 32), (10**7, 1536, 32), (10**7, 99, 1), (10**7, 384, 8)],
)
def test_the_number_of_streams_follows_from_records_and_batch(records, batch, count, monkeypatch):
    monkeypatch.undo()
    assert host_sharding.number_of_streams(records, batch) == count
    assert host_sharding.RecordStreams(None, records, batch).number == 1


def test_shard_ranges_are_the_records_between_two_positions_of_the_circle():
    random = np.random.default_rng(0)
    for _ in range(200):
        counts = random.integers(0, 6, random.integers(1, 8))
        counts[0] += 1
        shards = random.permutation(len(counts))
        circle = [(shard, place) for shard in shards for place in range(counts[shard])]
        begin = int(random.integers(0, len(circle)))
        end = begin + int(random.integers(0, len(circle) + 1))
        ranges = zip(*host_sharding.shard_ranges(counts[shards], shards, begin, end), strict=True)
        places = [(shard, skip + place) for shard, skip, take in ranges for place in range(take)]
        assert places == (2 * circle)[begin:end]


@pytest.mark.parametrize("place", ["host", "device"])
def test_any_number_of_hosts_makes_the_same_batches(local, place):
    """Also where they share streams, here three hosts four of them, and with labels that are not known."""
    options = {
        "count": 3,
        "augment_on": place,
        "mixup_alpha": 0.4,
        "cutout": 0.2,
        "unknown": unknown,
        "start_step": 2,
    }
    whole = train(local, **options)
    assert any((labels < 0).any() for *_, labels in whole)
    assert_same(joined([train(local, host=(index, 3), **options) for index in range(3)]), whole)


def test_a_small_dataset_gives_the_same_batches_on_any_number_of_hosts(local):
    whole = train(local, 2, num_records=TOTAL)
    assert_same(joined([train(local, 2, host=(index, 2), num_records=TOTAL) for index in range(2)]), whole)
    assert not np.array_equal(whole[0][1], train(local, 1)[0][1]), "which has several streams"


def read(monkeypatch, paths, give):
    """What ``give()`` returns, and {path: records read}."""
    counts, original = {}, records._read

    def counting(path, skip, take):
        for data in original(path, skip, take):
            counts[path.decode()] = counts.get(path.decode(), 0) + 1
            yield data

    with monkeypatch.context() as patched:
        patched.setattr(records, "_read", counting)
        return give(), counts


def test_a_host_reads_its_own_part(remote, local, monkeypatch):
    """Of 192 records in 4 batches 48, and with one worker no more than 66 that are read ahead."""
    whole, all_read = read(monkeypatch, remote, lambda: train(remote, 4, workers=1))
    assert_same(whole, train(local, 4))
    hosts = []
    for index in range(4):
        part, counts = read(monkeypatch, remote, lambda: train(remote, 4, workers=1, host=(index, 4)))  # noqa: B023
        hosts.append(part)
        assert len(counts) < len(all_read)
        assert sum(counts.values()) < 0.6 * sum(all_read.values())
    assert_same(joined(hosts), whole)


def bits(ids):
    """As unknown labels, from which ``numbers`` reads a record's number."""
    return ids[:, None] >> np.arange(8) & 1 > 0


def numbers(labels):
    return ((labels < 0) << np.arange(8)).sum(axis=1)


def order(paths, count, **options):
    """The numbers of the records of the first batches, one row a step."""
    options = {**PLAIN, "num_labels": 8, "unknown": bits, **options}
    return np.array([numbers(labels) for _, labels in train(paths, count, **options)])


def test_every_pass_of_the_streams_has_every_record_once(local):
    """4 streams of 50 records, 12 rows each: 5 passes in 21 batches."""
    rows = order(local, 21, seed=4)
    passes = [rows[:, 12 * stream :][:, :12].ravel()[:250].reshape(5, 50) for stream in range(4)]
    for number in range(5):
        assert sorted(np.concatenate([stream[number] for stream in passes])) == list(range(TOTAL))
    members = [{tuple(sorted(stream[number])) for stream in passes} for number in range(5)]
    assert len(set.union(*members)) > 15, "cut anew in every pass"
    spans = [np.abs(np.diff(stream[0])) for stream in passes]
    assert min(np.median(span) for span in spans) > 3, "shuffled"
    for step in (1, 4, 5, 17):
        assert np.array_equal(order(local, 2, seed=4, start_step=step), rows[step : step + 2])


def test_streams_share_out_the_records_that_are_kept(local):
    """133 records in 2 streams of 66 and 67: the shorter one begins its pass earlier."""

    def keep(ids):
        return np.asarray(ids) % 3 != 0

    ends = np.cumsum(COUNTS)
    counts = [int(keep(np.arange(end - count, end)).sum()) for count, end in zip(COUNTS, ends, strict=True)]
    rows = order(local, 12, keep=keep, num_records=counts)
    first, second = rows[:, :24].ravel(), rows[:, 24:].ravel()
    for number in range(4):
        both = [*first[66 * number :][:66], *second[67 * number :][:67]]
        assert sorted(both) == [record for record in range(TOTAL) if record % 3]
    assert np.array_equal(order(local, 2, keep=keep, num_records=counts, start_step=9), rows[9:11])
    halves = [order(local, 12, keep=keep, num_records=counts, host=(index, 2)) for index in range(2)]
    assert np.array_equal(np.hstack(halves), rows)


FACTORS = RepeatFactors(np.arange(TOTAL), 1 + np.arange(TOTAL) % 7 / 3, 5)  # 1 to 3 times
LENGTHS = [int(FACTORS.of_pass(number).sum()) for number in range(3)]  # of passes, about 400


def test_repeated_records_come_as_often_as_the_factors_say(local):
    """In every pass of all streams together, on any number of hosts, from any step on."""
    rows = order(local, 20, repeats=FACTORS)
    assert LENGTHS[0] != LENGTHS[1], "passes differ in length"
    streams, begins = [rows[:, 12 * stream :][:, :12].ravel() for stream in range(4)], np.zeros(4, int)
    for number in range(2):
        ends = begins + np.diff(np.arange(5) * LENGTHS[number] // 4)
        given = np.concatenate([stream[a:b] for stream, a, b in zip(streams, begins, ends, strict=True)])
        np.testing.assert_array_equal(np.bincount(given, minlength=TOTAL), FACTORS.of_pass(number))
        begins = ends
    for step in (1, 8, 9, 17):  # a pass ends within the batches 8 and 17 or so
        assert np.array_equal(order(local, 2, repeats=FACTORS, start_step=step), rows[step : step + 2])
    halves = [order(local, 20, repeats=FACTORS, host=(index, 2)) for index in range(2)]
    assert np.array_equal(np.hstack(halves), rows)


def test_one_stream_repeats_records_too_also_of_a_fold(local):
    def keep(ids):
        return np.asarray(ids) % 2 == 0

    kept = RepeatFactors(FACTORS.ids[::2], FACTORS.factors[::2], 5)
    options = {"repeats": kept, "keep": keep, "num_records": TOTAL // 2}
    rows = order(local, 10, **options)
    lengths = [int(kept.of_pass(number).sum()) for number in range(2)]
    first, second = rows.ravel()[: lengths[0]], rows.ravel()[lengths[0] :][: lengths[1]]
    np.testing.assert_array_equal(np.bincount(first, minlength=TOTAL)[::2], kept.of_pass(0))
    np.testing.assert_array_equal(np.bincount(second, minlength=TOTAL)[::2], kept.of_pass(1))
    assert np.abs(np.diff(first)).min() == 0 < np.median(np.abs(np.diff(first))), "shuffled with the rest"
    for step in (3, 4, 9):
        assert np.array_equal(order(local, 1, **options, start_step=step), rows[step : step + 1])
    with pytest.raises(UserError, match="a factor for each of the 200 records; got 100"):
        order(local, 1, repeats=kept)


def test_hosts_evaluate_every_record_once(remote, monkeypatch):
    """In as many batches, reading their own records only; the last of 6 has nothing but padding."""
    count = 6
    sizes = {**SIZES, "with_ids": True, "pad_batches": True}
    del sizes["shuffle_buffer"]
    ids, weights, pixels = [], [], {}
    for index in range(count):
        give = lambda: list(Generators.eval_dataset(remote, host=(index, count), **sizes))  # noqa: B023, E731
        batches, counts = read(monkeypatch, remote, give)
        assert len(batches) == 5
        assert sum(counts.values()) == min(5 * 48 // count, max(0, TOTAL - index * 5 * 48 // count))
        for batch, _, weight, number in batches:
            assert batch.shape[0] == 48 // count
            ids += number.numpy().tolist()
            weights += weight.numpy().tolist()
            pixels.update(zip(number.numpy().tolist(), batch.numpy().sum(axis=(1, 2, 3)), strict=True))
    assert sorted(number for number in ids if number >= 0) == list(range(TOTAL))
    assert [number >= 0 for number in ids] == [weight == 1 for weight in weights]
    whole = Generators.eval_dataset(remote, **sizes)
    for batch, _, weight, number in whole:
        rows = weight.numpy() > 0
        sums = batch.numpy().sum(axis=(1, 2, 3))
        assert [pixels[one] for one in number.numpy()[rows]] == sums[rows].tolist()


def test_wrong_numbers_of_records_are_refused(local, remote):
    sizes = {"num_labels": 5, "image_size": 12, "batch_size": 48}
    with pytest.raises(UserError, match="a number for each of 7 shards; got 2"):
        Generators.train_dataset(local, num_records=[1, 2], **sizes)
    with pytest.raises(UserError, match="num_records must be an integer of at least 1; got 0"):
        Generators.train_dataset(local, num_records=[0] * 7, **sizes)
    with pytest.raises(UserError, match="hosts need num_records of every shard"):
        Generators.eval_dataset(remote, host=(0, 2), pad_batches=True, **sizes)
    for num_records in (None, TOTAL):
        counted = Generators.eval_dataset(
            local, host=(0, 2), pad_batches=True, num_records=num_records, **sizes
        )
        assert len(counted) == 5
