# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by this recipe's studies after utils/recipe_study.sh: which sets and alignments run.sh, up to stage 12, network_data, has made in
# $dir: train_set, valid_set, ali, valid_ali; and the decoding graph.
train_set=train_tr valid_set=train_cv valid_ali=$dir/exp/ali_train ali=$dir/exp/ali_train
if [ ! -d "$dir/data/fbank/train_cv" ]; then train_set=train valid_set=dev valid_ali=$dir/exp/ali_dev; fi
if [ -d "$dir/exp/ali_train_sp" ]; then train_set=${train_set}_sp ali=${ali}_sp; fi
dev_set=dev
if [ -d "$dir/data/fbank/dev_tune" ]; then dev_set=dev_tune; fi
graph=$(compgen -G "$dir/exp/ali_train/graph_[0-9]" | head -n 1 || true)
