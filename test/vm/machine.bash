#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What run and power share, who source it: how a machine's life ends, what it said, lanes
# of machines side by side.  Theirs are `make_images`, `machine`, which starts one as process $qemu,
# `due`, which is true when it is to be killed, and `run_lane`.
# shellcheck disable=SC2034,SC2154

build=${VISTA_VM_BUILD:-$root/build/vm}
lanes=${VISTA_VM_LANES:-$(nproc)} # machines at a time, 4 at most
# What the kernel would find out or test for itself is half the instructions of a boot.
kernel_options="console=ttyS0 quiet panic=-1 mitigations=off no_timer_check cryptomgr.notests"
seed=$((0x$(od -An -N4 -tx4 /dev/urandom | tr -d ' ') % 32768))
files=""  # a lane's own directory
qemu=""   # its machine's process
ending="" # how that ended: died, failed, done, panicked, killed or stuck
acked=""  # what the segment has acknowledged: A,B; "new"; "" no segment yet
passed=0
failed=0
deaths=0
number=0 # of the boot
began=$SECONDS

# ---- A machine that has booted ------------------------------------------------

# One boot for many lives: its state is saved where its guest waits, before it has looked at
# what it has, and each life goes on from there.  Its options in `saved`, what a life is to do in a
# block of its own.
saved=()
monitor=""

write_life() { # FILE-SYSTEM PROGRAM ARGUMENTS
    printf '%-511s\n' "$1" >"$files/life"
}

# Memory that is a file is no part of the state.
open_monitor() { # COMMAND
    [[ $monitor == "" ]] || exec {monitor}>&-
    rm -f "$files".monitor.{in,out}
    mkfifo "$files".monitor.{in,out}
    exec {monitor}<>"$files.monitor.in"
    saved=(-chardev "pipe,id=monitor,path=$files.monitor" -mon monitor)
    echo "migrate_set_capability x-ignore-shared on" >&"$monitor"
}

# The next life does.
go_on() {
    open_monitor
    saved+=(-incoming defer -global isa-debugcon.readback=0)
    echo "migrate_incoming \"exec:cat '$temporary/state'\"" >&"$monitor"
}

boot_to_wait() { # MACHINE-ARGUMENTS
    local until=$((SECONDS + 300))
    start_files boot
    make_images
    open_monitor
    machine "$@"
    until grep -qs '^waiting$' "$files/said"; do
        kill -0 "$qemu" && ((SECONDS < until)) || return 1
        nap 50
    done
    printf '%s\n' "migrate \"exec:cat >'$temporary/state'\"" quit >&"$monitor"
    wait "$qemu"
}

save_state() { # MACHINE-ARGUMENTS
    if ! (boot_to_wait "$@"); then
        cat "$temporary/boot"/{console,qemu}
        echo "FAILED: the machine does not boot"
        echo "0 passed, 1 failed"
        exit 1
    fi
}

# ---- One machine ------------------------------------------------------------

# A read that never gets anything is a sleep without a process.
nap() { # MILLISECONDS
    read -rt "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" -u "$silence" || true
}

stop_machine() {
    if [[ $qemu != "" ]]; then
        kill -KILL "$qemu" 2>/dev/null || true
        wait "$qemu" 2>/dev/null || true
        qemu=""
    fi
}

live() { # ARGUMENTS of `machine`
    local until=$((SECONDS + boot_seconds)) status=0
    : >"$files/said"
    machine "$@"
    ending=""
    while kill -0 "$qemu" 2>/dev/null; do
        if due; then
            ending=killed
            break
        elif ((SECONDS >= until)); then
            ending=stuck
            break
        fi
        nap 20
    done
    if [[ $ending != "" ]]; then
        stop_machine
    else
        wait "$qemu" || status=$?
        qemu=""
        name_end "$status"
    fi
    keep_lines
}

name_end() { # STATUS
    case $1 in
    33) ending=died ;;
    35) ending=failed ;;
    37) ending="done" ;;
    0) ending=panicked ;;
    *) ending=stuck ;;
    esac
    if [[ $ending == panicked ]] && ! grep -q '^panic$' "$files/said"; then
        ending=stuck
    fi
}

# The lines that the guest said, but for one that death cut off.
keep_lines() {
    if [[ -s $files/said && $(tail -c 1 "$files/said" | wc -l) == 0 ]]; then
        sed '$d' "$files/said" >"$files/lines"
    else
        cp "$files/said" "$files/lines"
    fi
}

heard() { # PATTERN: the rest of the last line that begins with it
    sed -n "s/^$1 \?//p" "$files/lines" | tail -n 1
}

# What it found is there, and what it has said since may not be lost.
keep_acknowledged() {
    local found
    found=$(heard checked)
    if [[ $found != "" ]]; then
        passed=$((passed + 1))
        acked=${found%% *}
    fi
    if grep -q '^fresh$' "$files/lines"; then
        acked=new
    fi
    if grep -q '^created$' "$files/lines"; then
        acked=0,0
    fi
    if [[ $acked == *,* ]]; then
        acked=$(awk -v acked="$acked" 'BEGIN { split(acked, n, ",") }
            $1 == "c" { n[$2 + 1] = $3 } END { print n[1] "," n[2] }' "$files/lines")
    fi
}

# ---- Lanes ------------------------------------------------------------------

# Exits where it cannot be had.
prepare() { # PROGRAM...
    local prepared=0
    mkdir -p "$build"
    exec {lock}>"$build/lock"
    if ! flock -w 900 "$lock"; then
        echo "SKIPPED: the virtual machine: another run holds $build/lock"
        exit 0
    fi
    "$here/prepare" "$build" "$@" || prepared=$?
    if ((prepared == 77)); then
        exit 0
    elif ((prepared != 0)); then
        echo "FAILED: the preparation"
        echo "0 passed, 1 failed"
        exit 1
    fi
    PATH=$PATH:/usr/sbin:/sbin
    kernel=$(compgen -G "$build/kernel/boot/vmlinuz-*" | head -n 1)
    temporary=$(mktemp -d "$build/run.XXXXXX")
    processes=()
    trap stop_lanes EXIT
    trap 'exit 130' INT TERM
    echo "seed $seed, kernel ${kernel##*/vmlinuz-}, $(qemu-system-x86_64 --version | head -n 1)"
}

stop_lanes() {
    if ((${#processes[@]} > 0)); then
        kill "${processes[@]}" 2>/dev/null || true
        wait || true
    fi
    rm -rf "$temporary"
}

start_files() { # NAME
    files=$temporary/$1
    mkdir "$files"
    trap stop_machine EXIT
    trap 'exit 130' INT TERM
    exec {silence}<> <(:)
    # shellcheck disable=SC2054
    common=(-nodefaults -no-user-config -display none -no-reboot -serial "file:$files/console"
        -chardev "file,id=said,path=$files/said" -device isa-debugcon,iobase=0xe9,chardev=said
        -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$kernel")
}

start_lane() { # NUMBER
    lane=$1
    start_files "$lane"
    RANDOM=$((seed % 32768))
    run_lane
    echo "$number $deaths $passed $failed" >"$files/sums"
}

# One machine at a time in each, with files of its own; adds up their sums.
run_lanes() {
    local boots deaths_there good bad
    for ((lane = 0; lane < lanes; lane++)); do
        start_lane "$lane" &
        processes+=($!)
    done
    wait || true
    processes=()
    for ((lane = 0; lane < lanes; lane++)); do
        if read -r boots deaths_there good bad <"$temporary/$lane/sums"; then
            number=$((number + boots))
            deaths=$((deaths + deaths_there))
            passed=$((passed + good))
            failed=$((failed + bad))
        else
            failed=$((failed + 1))
            echo "FAILED: lane $lane did not come to its end"
        fi
    done
}

end() {
    echo "$deaths machine deaths in $number boots, $((SECONDS - began)) s; seed $seed"
    echo "$passed passed, $failed failed"
    ((failed == 0))
}
