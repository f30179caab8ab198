"""What a generated file holds beside the definitions: read as text, tested as what it becomes, and never imported."""
