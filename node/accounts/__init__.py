"""Accounts, transactions and the trie that commits to them."""
