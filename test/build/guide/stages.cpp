// The stages of a database, one by one, as lsm::db combines them.
#include <cstdio>
#include <string>
#include <vector>

#include <lsm/lsm.hpp>

lsm::io::file_system& disk = lsm::io::default_file_system();

// Writes a memtable to a table. The new file gets its name only when it is complete and on the disk.
lsm::result<lsm::sst_reader> write_table(const lsm::memtable& memory, const std::string& name) {
    auto file = lsm::io::replacement::create(disk, name + ".tmp", name);
    if (!file) return file.error();
    lsm::io::file_sink out(file->file());
    lsm::sst_writer table(out, {.extended = true});  // with checksums and a filter
    auto entries = memory.iter();
    for (auto [key, value] : entries)
        if (auto done = table.add(key, value); !done) return done.error();
    if (auto done = table.finish(); !done) return done.error();
    if (auto done = file->commit(); !done) return done.error();

    auto opened = lsm::io::file::open(disk, name, lsm::io::open_mode::read);
    if (!opened) return opened.error();
    return lsm::sst_reader::open(*std::move(opened));
}

lsm::result<void> run() {
    // The log makes a write durable before it becomes visible.
    lsm::write_batch fruit;
    fruit.put("apple", "red");
    fruit.put("banana", "yellow");
    auto log = lsm::wal::writer::open(disk, "fruit.log");
    if (!log) return log.error();
    if (auto done = log->append(fruit.encode()); !done) return done;
    if (auto done = log->sync(); !done) return done;

    // The memtable keeps keys in order. A deletion is an entry too.
    lsm::memtable older, newer;
    older.put("apple", "red");
    older.put("banana", "yellow");
    older.del("cherry");
    newer.put("banana", "green");

    // A table answers: found, tombstone, or absent. It reads at most one block for that.
    const auto table = write_table(older, "older.sst");
    if (!table) return table.error();
    for (const char* key : {"apple", "cherry", "date"}) {
        const auto found = table->get(key);
        if (!found) return found.error();
        std::printf("%s: %s\n", key, found->found() ? found->value().c_str() : found->absent() ? "absent" : "deleted");
    }

    // Merges the tables, newest first. Each key comes out once, from the newest source that has it.
    const auto newer_table = write_table(newer, "newer.sst");
    if (!newer_table) return newer_table.error();
    std::vector<decltype(table->byte_cursor())> newest_first;  // cursors can be moved, but not copied
    newest_first.push_back(newer_table->byte_cursor());
    newest_first.push_back(table->byte_cursor());
    lsm::merging_iterator merged(std::move(newest_first), {.drop_tombstones = true});
    for (; merged.valid(); merged.next())
        std::printf("%s = %s\n", lsm::bytes(merged.key()).c_str(), lsm::bytes(merged.entry().value).c_str());
    return merged.status();
}

int main() {
    const auto done = run();
    if (!done) std::puts(done.error().what.c_str());
    return done ? 0 : 1;
}
